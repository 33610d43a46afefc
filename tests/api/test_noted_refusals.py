"""What the server refuses by itself has one id, one line in the log, and is counted."""

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
def hasty(settings: Settings) -> Iterator[str]:
    """The base URL of a service that waits half a second for a head and for a body."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    app = create_app(settings, registry)
    with run_server(app, Timeouts(header_seconds=0.5, body_seconds=0.5)) as base:
        yield base


def talk(base: str, *sent: bytes) -> bytes:
    """Send pieces, each after an answer to the one before; return all that is answered."""
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


def read_answer(answer: bytes) -> tuple[int, str]:
    """Return an answer's status and the request's id in it."""
    (identifier,) = re.findall(rb"X-Request-ID: (\S+)\r\n", answer, re.IGNORECASE)
    return int(answer.split(b" ", 2)[1]), identifier.decode()


def list_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of the log's lines of requests."""
    return [r.fields for r in caplog.records if r.name == "service.access"]  # type: ignore[attr-defined]


def count(base: str, series: str) -> float:
    """Return a series' value, 0 where it has none yet."""
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
def test_a_refusal_is_noted_once(
    hasty: str, caplog: pytest.LogCaptureFixture, status: int, sent: bytes, operation: str
) -> None:
    """The id in the answer is that of the one line in the log, whose status is the answer's."""
    caplog.set_level(logging.INFO)
    requests = f'latentd_requests_total{{operation="{operation}",status="{status}"}}'
    before = count(hasty, requests)
    caplog.clear()

    answer = talk(hasty, sent)
    told, identifier = read_answer(answer)

    wait_until(lambda: list_lines(caplog))
    (line,) = list_lines(caplog)
    assert [r.name for r in caplog.records if not r.name.startswith("http")] == ["service.access"]
    assert (told, line["status"], line["request_id"]) == (status, status, identifier)
    assert "secret" not in line["path"]
    assert line["duration_ms"] < 2000
    assert count(hasty, requests) == before + 1
    problem = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    if "type" in problem:
        assert problem["instance"] == f"urn:latentd:request:{identifier}"
        kind = problem["type"].rpartition(":")[2]
        assert count(hasty, f'latentd_errors_total{{kind="{kind}"}}') >= 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nX-Request-ID: mine\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Request-ID: mine\r\n\r\n") + b"xyz\r\n",
    ],
)
def test_the_clients_own_id_is_kept(
    hasty: str, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """A refusal tells the id that the client gave, as any answer does."""
    caplog.set_level(logging.INFO)

    assert read_answer(talk(hasty, sent)) == (400, "mine")
    wait_until(lambda: [line["request_id"] for line in list_lines(caplog)] == ["mine"])


def test_an_id_is_one_requests(hasty: str, caplog: pytest.LogCaptureFixture) -> None:
    """What comes on a connection after a request is no part of it."""
    caplog.set_level(logging.INFO)
    good = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n"

    answers = talk(hasty, good, b"\x16\x03\x01\x02 no HTTP")

    _, first, second = answers.split(b"HTTP/1.1 ")
    assert b"mine" in first
    assert b"mine" not in second
    wait_until(lambda: len(list_lines(caplog)) == 2)
    assert [(line["status"], line["path"]) for line in list_lines(caplog)] == [
        (200, "/v2/health/live"),
        (400, ""),
    ]


def test_there_is_no_second_answer(hasty: str, caplog: pytest.LogCaptureFixture) -> None:
    """A body that breaks after its request was answered is not answered once more."""
    caplog.set_level(logging.INFO)

    answers = talk(hasty, CHUNKED.replace(b"/v1/classify", b"/nowhere"), b"xyz\r\n")

    assert answers.count(b"HTTP/1.1 ") == 1
    assert [line["status"] for line in list_lines(caplog)] == [404]


def test_who_hangs_up_is_no_refusal(hasty: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client that goes by itself is noted as gone, and as nothing else."""
    caplog.set_level(logging.INFO)
    connection: socket.socket
    with connect(hasty) as connection:
        connection.sendall(BODIES[0][1])

    wait_until(lambda: [line["status"] for line in list_lines(caplog)] == [499])
