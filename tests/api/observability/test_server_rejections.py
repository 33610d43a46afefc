"""Rejections by the HTTP server itself have an id, one log line and a metric."""

import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from service.app import build_registry, create_app
from service.server.connection import Timeouts
from service.server.request_head import HEAD_BYTES, URI_BYTES
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.servers import TLS, connect, run_server, wait_until

IMAGE_HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
CHUNKED = IMAGE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HEADS = [
    (431, b"GET /livez?key=secret HTTP/1.1\r\nHost: x\r\nX: " + b"a" * HEAD_BYTES + b"\r\n\r\n"),
    (414, b"GET /" + b"a" * URI_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, b"GET /livez HTTP/1.1\r\n\r\n"),
    (400, b"GET /v2/health/live HTTP/1.1\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
    (505, b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n"),
    (426, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    (408, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n"),
]
BODIES = [
    (408, IMAGE_HEAD + b"Content-Length: 2000\r\n\r\nabc"),
    (408, CHUNKED + b"3\r\nabc\r\n"),
    (400, CHUNKED + b"xyz\r\n"),
]


@pytest.fixture(scope="module")
def short_timeout_url(settings: Settings) -> Iterator[str]:
    """The base URL of a service with timeouts of half a second for a head and a body."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    app = create_app(settings, registry)
    with run_server(app, Timeouts(header_seconds=0.5, body_seconds=0.5)) as base:
        yield base


def exchange_pieces(base: str, *sent: bytes) -> bytes:
    """Send pieces, each after the response to the previous one; return all responses."""
    received = b""
    with connect(base) as connection:
        for piece in sent[:-1]:
            connection.sendall(piece)
            received += connection.recv(65_536)
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent[-1])
            while chunk := connection.recv(65_536):
                received += chunk
    return received


def parse_response(response: bytes) -> tuple[int, str]:
    """Return the status and the request id of a response."""
    (identifier,) = re.findall(rb"X-Request-ID: (\S+)\r\n", response, re.IGNORECASE)
    return int(response.split(b" ", 2)[1]), identifier.decode()


def list_access_entries(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of the access log entries."""
    return [r.fields for r in caplog.records if r.name == "service.access"]  # type: ignore[attr-defined]


def read_value(base: str, series: str) -> float:
    """Return the value of a series, 0 if it does not exist."""
    text = httpx.get(f"{base}/metrics", verify=TLS).text
    rows = [row for row in text.splitlines() if row.startswith(f"{series} ")]
    return float(rows[0].rpartition(" ")[2]) if rows else 0.0


@pytest.mark.parametrize(
    ("status", "sent", "operation"),
    [
        *((status, sent, "other") for status, sent in HEADS),
        *((status, sent, "classify") for status, sent in BODIES),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else value,
)
def test_rejection_has_one_log_line_with_its_id(
    short_timeout_url: str,
    caplog: pytest.LogCaptureFixture,
    status: int,
    sent: bytes,
    operation: str,
) -> None:
    """A rejection has one log line with the status and the request id of the response."""
    caplog.set_level(logging.INFO)
    requests = f'latentd_requests_total{{operation="{operation}",status="{status}"}}'
    before = read_value(short_timeout_url, requests)
    caplog.clear()

    response = exchange_pieces(short_timeout_url, sent)
    received_status, identifier = parse_response(response)

    wait_until(lambda: list_access_entries(caplog))
    (line,) = list_access_entries(caplog)
    assert [r.name for r in caplog.records if not r.name.startswith("http")] == ["service.access"]
    assert (received_status, line["status"], line["request_id"]) == (status, status, identifier)
    assert "secret" not in line["path"]
    assert line["duration_ms"] < 2000
    assert read_value(short_timeout_url, requests) == before + 1
    problem = orjson.loads(response.partition(b"\r\n\r\n")[2])
    if "type" in problem:
        assert problem["instance"] == f"urn:latentd:request:{identifier}"
        kind = problem["type"].rpartition(":")[2]
        assert read_value(short_timeout_url, f'latentd_errors_total{{kind="{kind}"}}') >= 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nX-Request-ID: mine\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Request-ID: mine\r\n\r\n") + b"xyz\r\n",
    ],
)
def test_rejection_keeps_the_id_of_the_client(
    short_timeout_url: str, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """A rejection returns the request id that the client sent."""
    caplog.set_level(logging.INFO)

    assert parse_response(exchange_pieces(short_timeout_url, sent)) == (400, "mine")
    wait_until(lambda: [line["request_id"] for line in list_access_entries(caplog)] == ["mine"])


def test_id_applies_to_one_request_of_a_connection(
    short_timeout_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes after a request on the same connection do not get its request id."""
    caplog.set_level(logging.INFO)
    good = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n"

    responses = exchange_pieces(short_timeout_url, good, b"\x16\x03\x01\x02 no HTTP")

    _, first, second = responses.split(b"HTTP/1.1 ")
    assert b"mine" in first
    assert b"mine" not in second
    wait_until(lambda: len(list_access_entries(caplog)) == 2)
    assert [(line["status"], line["path"]) for line in list_access_entries(caplog)] == [
        (200, "/v2/health/live"),
        (400, ""),
    ]


def test_malformed_body_after_the_response_gets_no_response(
    short_timeout_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that turns out malformed after its response gets no second response."""
    caplog.set_level(logging.INFO)

    responses = exchange_pieces(
        short_timeout_url, CHUNKED.replace(b"/v1/classify", b"/nowhere"), b"xyz\r\n"
    )

    assert responses.count(b"HTTP/1.1 ") == 1
    assert [line["status"] for line in list_access_entries(caplog)] == [404]


def test_disconnect_is_logged_as_499(
    short_timeout_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that disconnects is logged with the status 499 only."""
    caplog.set_level(logging.INFO)
    connection: socket.socket
    with connect(short_timeout_url) as connection:
        connection.sendall(BODIES[0][1])

    wait_until(lambda: [line["status"] for line in list_access_entries(caplog)] == [499])
