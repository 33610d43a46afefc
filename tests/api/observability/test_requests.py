"""What every request gets: one id, one line in the log, and an answer even under load."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.artifact import NetworkSpec
from service.artifact.manifest import GraphFormat
from service.runtimes import Floats, Network
from service.settings import Settings
from tests.support.fakes import FakeRuntime, write_bundle
from tests.support.image_files import make_noise, to_base64
from tests.support.problem_checks import check_refusal
from tests.support.servers import run_service, wait_until

LONG = {"count": 50, "seed": 1}
"""Enough samples to be sent to a thread."""


class Gate:
    """A backend whose networks wait until they are let through, or fail."""

    def __init__(self) -> None:
        """Let everything through, so that models can be warmed."""
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Semaphore(0)
        self.error: Exception | None = None

    def open_backend(self, backend: GraphFormat, _threads: int) -> "GatedRuntime":
        """Stand in for `service.runtimes.open_runtime`."""
        return GatedRuntime(self, backend)


class GatedRuntime(FakeRuntime):
    """Loads the fake networks behind a gate."""

    def __init__(self, gate: Gate, form: GraphFormat) -> None:
        """Keep the gate."""
        super().__init__(form)
        self._gate = gate

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        return GatedNetwork(self._gate, super().load(graph, spec))


class GatedNetwork:
    """Waits at the gate before each run."""

    def __init__(self, gate: Gate, network: Network) -> None:
        """Keep the gate and the network."""
        self._gate = gate
        self._network = network

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        if not self._gate.open.is_set():
            self._gate.waiting.release()
            self._gate.open.wait(10)
        if self._gate.error is not None:
            raise self._gate.error
        return self._network.run(batch)


@pytest.fixture
def gate() -> Gate:
    """The gate of `gated`."""
    return Gate()


@pytest.fixture
def gated(tmp_path: Path, gate: Gate) -> Iterator[httpx.Client]:
    """A client of a service with one thread and room for one request, behind the gate."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, threads=1, max_queue=1)
    with run_service(settings, gate.open_backend) as client:
        yield client
        gate.open.set()


@pytest.fixture
def clog(gated: httpx.Client, gate: Gate) -> Iterator[Future[httpx.Response]]:
    """A request that fills the queue: it was taken in and waits at the gate."""
    gate.open.clear()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(gated.post, "/v1/sample", json=LONG)
        assert gate.waiting.acquire(timeout=5)
        yield sent
        gate.open.set()


def wait_for_lines(caplog: pytest.LogCaptureFixture, answer: httpx.Response) -> list[str]:
    """Return our lines of the log about an answer, which are written just after it."""
    identifier = answer.headers["X-Request-ID"]

    def read() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name.startswith("service")]

    wait_until(lambda: any(identifier in line for line in read()))
    return read()


@pytest.mark.parametrize("given", ["a", "trace-1.2:3_4", "x" * 128])
def test_a_well_formed_request_id_is_kept(client: httpx.Client, given: str) -> None:
    """The client's own id comes back in the answer."""
    answer = client.get("/livez", headers={"X-Request-ID": given})

    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "caf\u00e9", "a;b", "{}"])
def test_an_ill_formed_request_id_is_replaced(client: httpx.Client, given: str) -> None:
    """An id that could not stand in a log or a header as it is gives way to a new one."""
    answer = client.get("/livez", headers={"X-Request-ID": given.encode()})

    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.headers["X-Request-ID"].isalnum()


def test_request_ids_differ(client: httpx.Client) -> None:
    """Without an id of the client's each request gets its own."""
    given = {client.get("/livez").headers["X-Request-ID"] for _ in range(10)}

    assert len(given) == 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/livez", 200), ("POST", "/v1/encode", 415), ("GET", "/nowhere", 404)],
)
def test_every_request_has_one_line(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, path: str, status: int
) -> None:
    """The log has one line a request, with its method, path, status and id."""
    caplog.set_level(logging.DEBUG)

    answer = client.request(method, path)

    lines = wait_for_lines(caplog, answer)
    assert len(lines) == 1
    assert lines[0].startswith(f"{method} {path} {status} ")
    assert lines[0].endswith(f"id={answer.headers['X-Request-ID']}")


def test_the_log_tells_nothing_of_pictures(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """No content of a request or answer reaches the log, at any level."""
    caplog.set_level(logging.DEBUG)
    picture = to_base64(make_noise())

    good = client.post("/v1/reconstruct", json={"images": [picture]})
    bad = client.post("/v1/reconstruct", json={"images": [picture[:40]]})

    wait_for_lines(caplog, bad)
    assert (good.status_code, bad.status_code) == (200, 422)
    ours = " ".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert picture[:20] not in ours
    assert good.json()["images"][0][40:60] not in ours


@pytest.mark.usefixtures("clog")
def test_a_full_queue_refuses_at_once(gated: httpx.Client) -> None:
    """Over the queue's length a request is 429 and told when to come back."""
    answer = gated.post("/v1/sample", json=LONG)

    check_refusal(answer, 429)
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("clog")
def test_health_is_answered_under_load(gated: httpx.Client) -> None:
    """While every thread is busy, health and descriptions are answered."""
    statuses = [gated.get(path).status_code for path in ("/livez", "/readyz", "/v1/models")]

    assert statuses == [200, 200, 200]


def test_the_queue_empties(gated: httpx.Client, gate: Gate, clog: Future[httpx.Response]) -> None:
    """A request that was taken in is answered, and then there is room again."""
    assert gated.post("/v1/sample", json=LONG).status_code == 429

    gate.open.set()

    assert clog.result().status_code == 200
    assert gated.post("/v1/sample", json=LONG).status_code == 200


@pytest.mark.parametrize("body", [{"seed": 1}, LONG], ids=["inline", "in a thread"])
def test_an_unforeseen_failure_gives_nothing_away(
    gated: httpx.Client, gate: Gate, caplog: pytest.LogCaptureFixture, body: object
) -> None:
    """A failure that nobody thought of is 500: the cause is in the log, under the request's id."""
    gate.error = ZeroDivisionError("secret")

    answer = gated.post("/v1/sample", json=body)

    problem = check_refusal(answer, 500)
    assert "secret" not in answer.text
    assert problem["instance"].rpartition(":")[2] in caplog.text
    assert "secret" in caplog.text


def test_after_failures_there_is_room_again(gated: httpx.Client, gate: Gate) -> None:
    """More failures than the queue is long do not fill it."""
    gate.error = ZeroDivisionError("secret")
    failed = [gated.post("/v1/sample", json=LONG) for _ in range(5)]
    gate.error = None

    answer = gated.post("/v1/sample", json=LONG)

    assert [answer.status_code for answer in failed] == [500] * 5
    assert answer.status_code == 200
