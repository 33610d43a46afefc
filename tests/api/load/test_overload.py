"""Overload: deadlines, batching of queued work, byte budgets and limits on JSON."""

import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.support.blocking_backend import BlockingBackend
from tests.support.fakes import LATENT_SIZE, write_bundle
from tests.support.image_files import to_npy
from tests.support.metric_series import read_series
from tests.support.problem_checks import check_problem
from tests.support.servers import run_service, wait_until

LONG = {"count": 50, "seed": 1}
"""Enough samples to run in a thread."""


@pytest.fixture
def backend() -> BlockingBackend:
    """The backend of `client`."""
    return BlockingBackend()


@pytest.fixture
def client(tmp_path: Path, backend: BlockingBackend) -> Iterator[httpx.Client]:
    """A client of a service with one thread, short deadlines and low limits."""
    write_bundle(tmp_path, "full")
    settings = Settings(
        models_store=tmp_path,
        threads=1,
        max_queue=3,
        request_seconds=1,
        max_pending_bytes=150_000,
        max_json_bytes=50_000,
        max_json_values=5_000,
    )
    with run_service(settings, backend.open_runtime) as opened:
        yield opened
        backend.open.set()


@pytest.fixture
def running_request(
    client: httpx.Client, backend: BlockingBackend
) -> Iterator[Future[httpx.Response]]:
    """A request that occupies the only thread."""
    backend.open.clear()
    before = backend.runs
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.post, "/v1/sample", json=LONG)
        wait_until(lambda: backend.runs > before)
        yield sent
        backend.open.set()


def read_queue(client: httpx.Client) -> float:
    """Return the number of queued work items."""
    return read_series(client)["latentd_queue_waiting"]


def test_queued_request_past_its_deadline_is_503(
    client: httpx.Client, backend: BlockingBackend, running_request: Future[httpx.Response]
) -> None:
    """A queued request past its deadline is rejected with 503 and `Retry-After`, and never runs."""
    runs_before = backend.runs

    response = client.post("/v1/sample", json=LONG)

    check_problem(response, 503)
    assert response.headers["Retry-After"] == "1"
    backend.open.set()
    assert running_request.result().status_code == 200
    assert backend.runs == runs_before
    assert read_queue(client) == 0


def test_deadline_applies_to_the_open_inference_protocol(
    client: httpx.Client, running_request: Future[httpx.Response]
) -> None:
    """The deadline applies to requests of the Open Inference Protocol."""
    tensor = {"name": "image", "shape": [40, 1, 8, 6], "datatype": "FP32", "data": [0.5] * 1920}
    path = "/v2/models/full.encoder/infer"
    tensor["name"] = client.get("/v2/models/full.encoder").json()["inputs"][0]["name"]

    response = client.post(path, json={"inputs": [tensor]})

    assert response.status_code == 503
    assert "1 seconds" in response.json()["error"]
    assert not running_request.done()


def test_queued_requests_run_as_one_batch(
    client: httpx.Client, backend: BlockingBackend, running_request: Future[httpx.Response]
) -> None:
    """Two queued requests for the same network run as one batch."""
    runs_before = backend.runs
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    def decode(level: float) -> httpx.Response:
        latents = np.full((20, LATENT_SIZE), level, np.float32)
        return client.post("/v1/decode", content=to_npy(latents), headers=headers)

    with ThreadPoolExecutor(2) as pool:
        responses = pool.map(decode, (0.25, 0.75))
        wait_until(lambda: read_queue(client) == 2)
        backend.open.set()

    images = [np.load(io.BytesIO(response.content)) for response in responses]
    assert [(len(batch), set(batch.ravel().tolist())) for batch in images] == [
        (20, {0.25}),
        (20, {0.75}),
    ]
    assert running_request.result().status_code == 200
    assert backend.runs == runs_before + 1


def test_work_of_a_disconnected_client_is_cancelled(
    client: httpx.Client, backend: BlockingBackend, running_request: Future[httpx.Response]
) -> None:
    """The queued work of a disconnected client leaves the queue and never runs."""
    runs_before = backend.runs
    body = b'{"count":50}'
    head = b"POST /v1/sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: read_queue(client) == 1)
    started = time.monotonic()
    wait_until(lambda: read_queue(client) == 0)

    assert time.monotonic() - started < 0.8  # long before the deadline
    backend.open.set()
    assert running_request.result().status_code == 200
    assert backend.runs == runs_before


def test_buffered_bodies_share_a_byte_budget(
    client: httpx.Client, running_request: Future[httpx.Response]
) -> None:
    """Buffered bodies over the byte budget are rejected with 429 until the budget is free again."""
    array = to_npy(np.zeros((400, 8, 6), np.float32))
    large = {"content": array, "headers": {"Content-Type": "application/x-npy"}}
    with ThreadPoolExecutor(1) as pool:
        queued = pool.submit(client.post, "/v1/encode", **large)
        wait_until(lambda: read_queue(client) == 1)
        rejected = client.post("/v1/encode", **large)

    check_problem(rejected, 429)
    assert "LATENTD_MAX_PENDING_BYTES" in rejected.json()["detail"]
    assert queued.result().status_code == 503
    assert not running_request.done()
    after = client.post("/v1/encode", **large)
    assert "LATENTD_MAX_PENDING_BYTES" not in after.text


def test_full_queue_rejects_a_long_body_before_parsing(
    client: httpx.Client, running_request: Future[httpx.Response]
) -> None:
    """While the queue is full, a long body is rejected unparsed; a short body is validated."""
    with ThreadPoolExecutor(2) as pool:
        queued = [pool.submit(client.post, "/v1/sample", json=LONG) for _ in range(2)]
        wait_until(lambda: read_queue(client) == 2)
        rejected = client.post("/v1/encode", json={"images": ["not an image" * 2000]})
        malformed = client.post("/v1/encode", json={"images": ["not an image"]})

    check_problem(rejected, 429)
    check_problem(malformed, 422)
    assert [response.result().status_code for response in queued] == [503, 503]
    assert not running_request.done()


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (b'{"images":["' + b"A" * 50_000 + b'"]}', "LATENTD_MAX_JSON_BYTES"),
        (b'{"images":[' + b"0," * 5_000 + b"0]}", "LATENTD_MAX_JSON_VALUES"),
        (b'{"images":[' + b"[]," * 1_000 + b"[]]}", "LATENTD_MAX_JSON_VALUES"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/encode", "/v2/models/full.encoder/infer"])
def test_expensive_json_is_rejected_before_parsing(
    client: httpx.Client, path: str, content: bytes, limit: str
) -> None:
    """JSON with too many bytes or values is rejected with 413 and the setting, before parsing."""
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})

    assert response.status_code == 413
    assert limit in response.text
