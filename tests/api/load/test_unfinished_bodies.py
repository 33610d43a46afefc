"""Bodies that stall: they end early, and they do not keep others from sending small ones."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import build_registry, create_app
from service.server import connection as connections
from service.settings import MIB, Settings
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.servers import TLS, connect, run_server, wait_until

HEAD = b"POST /v1/encode HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-npy\r\n"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a service with 1 MiB for all bodies and responses."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, max_pending_bytes=MIB)
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield base


def test_unfinished_bodies_leave_memory_for_small_requests(url: str) -> None:
    """While eight unfinished bodies hold the memory, small requests are served."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=url, verify=TLS))
        for _ in range(8):
            connection = stack.enter_context(connect(url))
            connection.sendall(HEAD + b"Content-Length: 400000\r\n\r\n" + bytes(380_000))
            time.sleep(0.05)  # at the same time they would reject each other
        large = {"content": bytes(200_000), "headers": {"Content-Type": "application/x-npy"}}
        wait_until(lambda: client.post("/v1/encode", **large).status_code == 429)

        statuses = {client.post("/v1/sample", json={"seed": 1}).status_code for _ in range(50)}

    assert statuses == {200}


def test_stalled_body_is_rejected_before_the_timeout(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops advancing is rejected with 408 and the least rate."""
    monkeypatch.setattr(connections, "_RATE_SECONDS", 0.3)
    start = time.monotonic()
    with connect(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 400000\r\n\r\n" + bytes(380_000))
        response = connection.recv(65_536)

    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"1024 bytes of the body per second" in response
    assert time.monotonic() - start < 5


def test_body_that_advances_is_not_cut(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow body over the least rate is read to its end."""
    monkeypatch.setattr(connections, "_RATE_SECONDS", 0.3)
    with connect(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 15000\r\n\r\n")
        for _ in range(15):
            connection.sendall(bytes(1000))
            time.sleep(0.08)
        response = connection.recv(65_536)

    assert response.startswith(b"HTTP/1.1 400 ")
