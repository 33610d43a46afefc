"""Request ids, access log lines, load shedding and unexpected failures."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.support.blocking_backend import BlockingBackend
from tests.support.fakes import write_bundle
from tests.support.image_files import make_noise, to_base64
from tests.support.problem_checks import check_problem
from tests.support.servers import run_service, wait_until

LONG = {"count": 50, "seed": 1}
"""Enough samples to run in a thread."""


@pytest.fixture
def backend() -> BlockingBackend:
    """The backend of `limited_client`."""
    return BlockingBackend()


@pytest.fixture
def limited_client(tmp_path: Path, backend: BlockingBackend) -> Iterator[httpx.Client]:
    """A client of a service with one thread and a queue of one request."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, threads=1, max_queue=1)
    with run_service(settings, backend.open_runtime) as client:
        yield client
        backend.open.set()


@pytest.fixture
def running_request(
    limited_client: httpx.Client, backend: BlockingBackend
) -> Iterator[Future[httpx.Response]]:
    """A request that fills the queue and waits in its network."""
    backend.open.clear()
    before = backend.runs
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(limited_client.post, "/v1/sample", json=LONG)
        wait_until(lambda: backend.runs > before)
        yield sent
        backend.open.set()


def wait_for_lines(caplog: pytest.LogCaptureFixture, response: httpx.Response) -> list[str]:
    """Return the service's log lines about a response, which are written just after it."""
    identifier = response.headers["X-Request-ID"]

    def read() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name.startswith("service")]

    wait_until(lambda: any(identifier in line for line in read()))
    return read()


@pytest.mark.parametrize("request_id", ["a", "trace-1.2:3_4", "x" * 128])
def test_valid_request_id_is_kept(client: httpx.Client, request_id: str) -> None:
    """The response has the valid request id of the client."""
    response = client.get("/livez", headers={"X-Request-ID": request_id})

    assert response.headers["X-Request-ID"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "<script>", "caf\u00e9", "a;b", "{}"])
def test_invalid_request_id_is_replaced(client: httpx.Client, request_id: str) -> None:
    """A request id that is not safe in a log or a header is replaced."""
    response = client.get("/livez", headers={"X-Request-ID": request_id.encode()})

    assert len(response.headers["X-Request-ID"]) == 32
    assert response.headers["X-Request-ID"].isalnum()


def test_request_ids_are_unique(client: httpx.Client) -> None:
    """Requests without an id get unique ids."""
    request_ids = {client.get("/livez").headers["X-Request-ID"] for _ in range(10)}

    assert len(request_ids) == 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/livez", 200), ("POST", "/v1/encode", 415), ("GET", "/nowhere", 404)],
)
def test_every_request_has_one_access_line(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, path: str, status: int
) -> None:
    """The log has one line for each request, with its method, path, status and id."""
    caplog.set_level(logging.DEBUG)

    response = client.request(method, path)

    lines = wait_for_lines(caplog, response)
    assert len(lines) == 1
    assert lines[0].startswith(f"{method} {path} {status} ")
    assert lines[0].endswith(f"id={response.headers['X-Request-ID']}")


def test_log_contains_no_images(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """The log contains no content of a request or response, at any level."""
    caplog.set_level(logging.DEBUG)
    image = to_base64(make_noise())

    accepted = client.post("/v1/reconstruct", json={"images": [image]})
    rejected = client.post("/v1/reconstruct", json={"images": [image[:40]]})

    wait_for_lines(caplog, rejected)
    assert (accepted.status_code, rejected.status_code) == (200, 422)
    ours = " ".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert image[:20] not in ours
    assert accepted.json()["images"][0][40:60] not in ours


@pytest.mark.usefixtures("running_request")
def test_full_queue_rejects_with_429(limited_client: httpx.Client) -> None:
    """A full queue rejects a request with 429 and `Retry-After`."""
    response = limited_client.post("/v1/sample", json=LONG)

    check_problem(response, 429)
    assert response.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("running_request")
def test_health_responds_under_load(limited_client: httpx.Client) -> None:
    """Health routes and model descriptions respond while every thread is busy."""
    statuses = [
        limited_client.get(path).status_code for path in ("/livez", "/readyz", "/v1/models")
    ]

    assert statuses == [200, 200, 200]


def test_finished_request_frees_the_queue(
    limited_client: httpx.Client, backend: BlockingBackend, running_request: Future[httpx.Response]
) -> None:
    """A queued request succeeds, and the queue accepts the next one."""
    assert limited_client.post("/v1/sample", json=LONG).status_code == 429

    backend.open.set()

    assert running_request.result().status_code == 200
    assert limited_client.post("/v1/sample", json=LONG).status_code == 200


@pytest.mark.parametrize("body", [{"seed": 1}, LONG], ids=["inline", "in a thread"])
def test_unexpected_failure_is_500_without_details(
    limited_client: httpx.Client,
    backend: BlockingBackend,
    caplog: pytest.LogCaptureFixture,
    body: object,
) -> None:
    """An unexpected failure gives 500 without details; the log has the cause and the request id."""
    backend.error = ZeroDivisionError("secret")

    response = limited_client.post("/v1/sample", json=body)

    problem = check_problem(response, 500)
    assert "secret" not in response.text
    assert problem["instance"].rpartition(":")[2] in caplog.text
    assert "secret" in caplog.text


def test_failures_do_not_fill_the_queue(
    limited_client: httpx.Client, backend: BlockingBackend
) -> None:
    """More failures than the queue's length do not fill the queue."""
    backend.error = ZeroDivisionError("secret")
    failures = [limited_client.post("/v1/sample", json=LONG) for _ in range(5)]
    backend.error = None

    response = limited_client.post("/v1/sample", json=LONG)

    assert [response.status_code for response in failures] == [500] * 5
    assert response.status_code == 200
