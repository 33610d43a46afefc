"""Too much at once: what waits too long, has nobody waiting, or is too large is not done."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.artifact import NetworkSpec
from service.artifact.manifest import GraphFormat
from service.observability.metrics import QUEUE_WAITING
from service.runtimes import Floats, Network
from service.settings import Settings
from tests.support.fakes import LATENT_SIZE, FakeRuntime, write_bundle
from tests.support.image_files import to_npy
from tests.support.problem_checks import check_refusal
from tests.support.servers import run_service, wait_until

LONG = {"count": 50, "seed": 1}
"""Enough samples to be sent to a thread."""


class Clog:
    """A backend whose networks stop while it is shut, and count their runs."""

    def __init__(self) -> None:
        """Let everything through, so that models can be warmed."""
        self.open = threading.Event()
        self.open.set()
        self.runs = 0

    def open_backend(self, backend: GraphFormat, _threads: int) -> "ClogRuntime":
        """Stand in for `service.runtimes.open_runtime`."""
        return ClogRuntime(self, backend)


class ClogRuntime(FakeRuntime):
    """Loads the fake networks behind a clog."""

    def __init__(self, clog: Clog, form: GraphFormat) -> None:
        """Keep the clog."""
        super().__init__(form)
        self._clog = clog

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        return ClogNetwork(self._clog, super().load(graph, spec))


class ClogNetwork:
    """Waits until the clog is open."""

    def __init__(self, clog: Clog, network: Network) -> None:
        """Keep both."""
        self._clog = clog
        self._network = network

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        self._clog.runs += 1
        self._clog.open.wait(10)
        return self._network.run(batch)


@pytest.fixture
def clog() -> Clog:
    """The backend of `client`."""
    return Clog()


@pytest.fixture
def client(tmp_path: Path, clog: Clog) -> Iterator[httpx.Client]:
    """A client of a service with one thread, little patience and little memory."""
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
    with run_service(settings, clog.open_backend) as opened:
        yield opened
        clog.open.set()


@pytest.fixture
def held(client: httpx.Client, clog: Clog) -> Iterator[Future[httpx.Response]]:
    """A request that has the only thread."""
    clog.open.clear()
    before = clog.runs
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.post, "/v1/sample", json=LONG)
        wait_until(lambda: clog.runs > before)
        yield sent
        clog.open.set()


def read_waiting() -> float:
    """Return how many pieces of work wait, as /metrics tells."""
    (sample,) = next(iter(QUEUE_WAITING.collect())).samples
    return sample.value


def test_what_waited_too_long_is_503(
    client: httpx.Client, clog: Clog, held: Future[httpx.Response]
) -> None:
    """Past its deadline a queued request is told to come back, and is never worked on."""
    begun = clog.runs

    answer = client.post("/v1/sample", json=LONG)

    check_refusal(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    clog.open.set()
    assert held.result().status_code == 200
    assert clog.runs == begun
    assert read_waiting() == 0


def test_v2_has_deadlines_too(client: httpx.Client, held: Future[httpx.Response]) -> None:
    """The Open Inference Protocol's requests wait no longer than the others."""
    tensor = {"name": "image", "shape": [40, 1, 8, 6], "datatype": "FP32", "data": [0.5] * 1920}
    path = "/v2/models/full.encoder/infer"
    tensor["name"] = client.get("/v2/models/full.encoder").json()["inputs"][0]["name"]

    answer = client.post(path, json={"inputs": [tensor]})

    assert answer.status_code == 503
    assert "1 seconds" in answer.json()["error"]
    assert not held.done()


def test_requests_that_wait_are_done_together(
    client: httpx.Client, clog: Clog, held: Future[httpx.Response]
) -> None:
    """While the only thread is busy two requests for one network wait: one run does both."""
    begun = clog.runs
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    def decode(level: float) -> httpx.Response:
        latents = np.full((20, LATENT_SIZE), level, np.float32)
        return client.post("/v1/decode", content=to_npy(latents), headers=headers)

    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(decode, (0.25, 0.75))
        wait_until(lambda: read_waiting() == 2)
        clog.open.set()

    images = [np.load(io.BytesIO(answer.content)) for answer in answers]
    assert [(len(batch), set(batch.ravel().tolist())) for batch in images] == [
        (20, {0.25}),
        (20, {0.75}),
    ]
    assert held.result().status_code == 200
    assert clog.runs == begun + 1


def test_work_of_a_client_that_has_gone_is_skipped(
    client: httpx.Client, clog: Clog, held: Future[httpx.Response]
) -> None:
    """A client that hangs up while it is queued makes no work, and no trace."""
    begun = clog.runs
    body = b'{"count":50}'
    head = b"POST /v1/sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    place = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(place) as gone:
        gone.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: read_waiting() == 1)
    started = time.monotonic()
    wait_until(lambda: read_waiting() == 0)

    assert time.monotonic() - started < 0.8  # long before its deadline
    clog.open.set()
    assert held.result().status_code == 200
    assert clog.runs == begun


def test_bodies_are_bounded_together(client: httpx.Client, held: Future[httpx.Response]) -> None:
    """Bodies that are held for queued work leave no room for more than the bound, and then do."""
    array = to_npy(np.zeros((400, 8, 6), np.float32))
    large = {"content": array, "headers": {"Content-Type": "application/x-npy"}}
    with ThreadPoolExecutor(1) as pool:
        queued = pool.submit(client.post, "/v1/encode", **large)
        wait_until(lambda: read_waiting() == 1)
        refused = client.post("/v1/encode", **large)

    check_refusal(refused, 429)
    assert "LATENTD_MAX_PENDING_BYTES" in refused.json()["detail"]
    assert queued.result().status_code == 503
    assert not held.done()
    after = client.post("/v1/encode", **large)
    assert "LATENTD_MAX_PENDING_BYTES" not in after.text


def test_a_full_queue_refuses_before_it_unpacks(
    client: httpx.Client, held: Future[httpx.Response]
) -> None:
    """While the queue is full a long body is refused unseen; a short one is looked at."""
    with ThreadPoolExecutor(2) as pool:
        queued = [pool.submit(client.post, "/v1/sample", json=LONG) for _ in range(2)]
        wait_until(lambda: read_waiting() == 2)
        refused = client.post("/v1/encode", json={"images": ["no picture" * 2000]})
        broken = client.post("/v1/encode", json={"images": ["no picture"]})

    check_refusal(refused, 429)
    check_refusal(broken, 422)
    assert [answer.result().status_code for answer in queued] == [503, 503]
    assert not held.done()


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (b'{"images":["' + b"A" * 50_000 + b'"]}', "LATENTD_MAX_JSON_BYTES"),
        (b'{"images":[' + b"0," * 5_000 + b"0]}", "LATENTD_MAX_JSON_VALUES"),
        (b'{"images":[' + b"[]," * 1_000 + b"[]]}", "LATENTD_MAX_JSON_VALUES"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/encode", "/v2/models/full.encoder/infer"])
def test_json_that_is_slow_to_parse_is_refused(
    client: httpx.Client, path: str, content: bytes, limit: str
) -> None:
    """JSON with too many bytes or values is 413, with the limit's name, and is not parsed."""
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert limit in answer.text
