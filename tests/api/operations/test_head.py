"""HEAD: the headers of GET without a body, on everything that answers GET."""

import logging
from collections.abc import Iterator

import httpx
import pytest

from service.observability.logs import ACCESS_LOGGER
from tests.support.servers import exchange, wait_until

PATHS = [
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/static/favicon.png",
    "/livez",
    "/readyz",
    "/v1/models",
    "/v1/models/full",
    "/v1/models/full/maps/autoencoder",
    "/v1/models/full/report",
    "/v1/models/full/examples",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/full.encoder",
    "/v2/models/full.encoder/config",
    "/v2/models/full.encoder/ready",
    "/v1/models/unknown",
    "/unknown",
]
VARYING = {"date", "x-request-id"}


def select_headers(response: httpx.Response) -> dict[str, str]:
    """Return the headers that do not change from request to request."""
    names = response.headers.keys() - VARYING
    if response.status_code >= 400:  # the body contains the request's id or the method
        names -= {"content-length"}
    return {name: response.headers[name] for name in names}


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get(client: httpx.Client, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get, head = client.get(path), client.head(path)

    assert head.status_code == get.status_code
    assert select_headers(head) == select_headers(get)
    assert head.content == b""


def test_head_of_the_metrics(client: httpx.Client) -> None:
    """The metrics answer HEAD."""
    assert client.head("/metrics").status_code == 200


def test_no_byte_follows_the_headers(url: str) -> None:
    """The connection carries nothing after the headers, and serves the next request."""
    head = b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    received = exchange(url, head + last)

    first, _, rest = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest == b"" or rest.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/v1/classify", "/v2/models/full.encoder/infer"])
def test_head_of_an_operation(client: httpx.Client, path: str) -> None:
    """HEAD of a path that has no GET is 405."""
    response = client.head(path)

    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


def test_allow_names_head(client: httpx.Client) -> None:
    """A method that a path lacks is answered with the methods that it has."""
    assert client.post("/v1/models").headers["Allow"] == "GET, HEAD"


@pytest.fixture
def fields(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """Return the fields of the access log's lines as they are written."""
    written: list[dict[str, object]] = []
    with caplog.at_level(logging.INFO):
        handler = logging.Handler()
        handler.emit = lambda record: written.append(record.__dict__.get("fields", {}))  # type: ignore[method-assign]
        logger = logging.getLogger(ACCESS_LOGGER)
        logger.addHandler(handler)
        yield written
        logger.removeHandler(handler)


def test_log_keeps_the_method(client: httpx.Client, fields: list[dict[str, object]]) -> None:
    """The access log shows HEAD with the route, and no bytes sent."""
    client.head("/v1/models")

    wait_until(lambda: [line for line in fields if line.get("method") == "HEAD"])
    line = next(line for line in fields if line.get("method") == "HEAD")
    assert (line["route"], line["status"], line["bytes_out"]) == ("/v1/models", 200, 0)
