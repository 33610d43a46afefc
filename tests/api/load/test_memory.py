"""Memory of requests: responses count until clients have read them, images while decoded."""

import contextlib
import gzip
import io
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from service.app import build_registry, create_app, divide_memory
from service.artifact import ImageSpec
from service.settings import MIB, Settings
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.problem_checks import check_problem
from tests.support.servers import TLS, connect, run_server, wait_until

LARGE = ImageSpec(channels=3, height=64, width=64, background=(0.0, 0.0, 0.0))
SAMPLES = b'{"count": 256, "encoding": "array", "seed": 1}'


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a service with 160 MiB for bodies and responses."""
    write_bundle(tmp_path, "large", image=LARGE)
    settings = Settings(models_store=tmp_path, max_pending_bytes=160 * MIB, memory_bytes=512 * MIB)
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield base


def open_unread_response(base: str, stack: contextlib.ExitStack) -> socket.socket:
    """Send a request with a response of megabytes that is not read."""
    connection = stack.enter_context(connect(base))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"POST /v1/sample HTTP/1.1\r\nHost: a\r\nContent-Length: {len(SAMPLES)}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + SAMPLES)
    return connection


def test_unread_responses_count_until_the_client_reads_or_leaves(url: str) -> None:
    """While clients do not read, large requests get 429 and small ones are served."""
    with httpx.Client(base_url=url, verify=TLS, timeout=10) as client:

        def sample() -> httpx.Response:
            return client.post("/v1/sample", json={"count": 256, "encoding": "array", "seed": 1})

        assert sample().status_code == 200
        with contextlib.ExitStack() as stack:

            def is_exhausted() -> bool:
                open_unread_response(url, stack)  # rejected if another response is being read
                time.sleep(0.3)
                return sample().status_code == 429

            wait_until(is_exhausted, timeout=20)
            time.sleep(0.3)
            rejected = sample()

            check_problem(rejected, 429)
            assert "LATENTD_MAX_PENDING_BYTES" in rejected.json()["detail"]
            assert client.post("/v1/sample", json={"count": 1}).status_code == 200
        wait_until(lambda: sample().status_code == 200, timeout=20)


def test_image_that_exceeds_the_memory_for_decoding_is_413(url: str) -> None:
    """A 16-bit image of 60 KB that takes 600 MB is rejected before it is decoded."""
    stream = io.BytesIO()
    Image.new("I;16", (5656, 5656)).save(stream, "PNG")

    response = httpx.post(
        f"{url}/v1/encode",
        content=stream.getvalue(),
        headers={"Content-Type": "image/png"},
        verify=TLS,
    )

    check_problem(response, 413)
    assert "LATENTD_MEMORY_BYTES" in response.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_decompressed_body_is_reserved_before_it_exists(
    url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Compressed bodies that together exceed the budget get 429 without being decompressed."""
    calls: list[int] = []
    may_end = threading.Event()

    def decompress(content: bytes, *_: object) -> bytes:
        calls.append(len(content))
        assert may_end.wait(20)
        return b""

    monkeypatch.setattr("service.api.handler.decompress", decompress)
    content = bytes(30 * MIB)
    body = gzip.compress(content) if encoding == "gzip" else zlib.compress(content)
    headers = {"Content-Type": "application/x-npy", "Content-Encoding": encoding}
    with ThreadPoolExecutor(8) as pool:
        statuses = [
            pool.submit(
                httpx.post,
                f"{url}/v1/encode",
                content=body,
                headers=headers,
                verify=TLS,
                timeout=30,
            )
            for _ in range(8)
        ]
        wait_until(lambda: sum(status.done() for status in statuses) == 5, timeout=20)
        running = len(calls)
        may_end.set()

    assert running <= 3
    assert sorted(status.result().status_code for status in statuses) == [400] * 3 + [429] * 5


def test_bytes_that_a_body_did_not_need_are_released(url: str) -> None:
    """Bodies that could become 32 MiB each, but do not, are all served."""
    body = zlib.compress(b'{"seed": 1}' + b" " * 100_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
    with httpx.Client(base_url=url, verify=TLS, headers=headers, timeout=10) as client:
        statuses = {client.post("/v1/sample", content=body).status_code for _ in range(20)}

    assert statuses == {200}


@pytest.mark.parametrize(("workers", "memory"), [(1, 512), (1, 128), (2, 1024), (4, 65_536)])
def test_bounds_follow_from_the_memory_limit(workers: int, memory: int) -> None:
    """Each worker uses its share of the limit, and a part of it stays free for runs."""
    settings = Settings(workers=workers, memory_bytes=memory * MIB)

    pending, decoding = divide_memory(settings)

    assert 32 * MIB <= pending <= 256 * MIB
    assert 48 * MIB <= decoding <= 1024 * MIB
    if memory >= 512 * workers:
        assert (pending + decoding) * workers < memory * MIB
