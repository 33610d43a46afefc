"""What one client may do with its connections: size, time and protocol."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from service.api.schemas import Problem
from service.app import build_registry, create_app
from service.server.connection import HEAD_BYTES, URI_BYTES, Patience
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.image_files import make_png
from tests.support.servers import TLS, connect, count_files, exchange, run_server, wait_until

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
SHORT = Patience(header_seconds=0.5, body_seconds=1.0)


@pytest.fixture(scope="module")
def hasty(settings: Settings) -> Iterator[str]:
    """The base URL of a service that waits half a second for a head and one for a body."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry), SHORT) as base:
        yield base


def read_status(answer: bytes) -> int:
    """Return an answer's status."""
    return int(answer.split(b" ", 2)[1])


def read_all(connection: socket.socket) -> bytes:
    """Return what a server says until it closes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (431, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n"),
        (431, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * HEAD_BYTES + b"\r\n\r\n"),
        (431, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 20_000 + b"\r\n"),
        (414, b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (414, b"GET /" + b"a" * URI_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /livez HTTP/1.1\r\n\r\n"),
        (400, b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        (400, b"GET /livez HTTP/1.1\r\nHost: a/livez?x=\r\n\r\n"),
        (400, b"GET /livez HTTP/0.9\r\nHost: x\r\n\r\n"),
        (400, b"GET /livez\r\n\r\n"),
        (505, b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (426, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            426,
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            426,
            HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd",
        ),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:40],
)
def test_what_is_refused_before_it_is_read(url: str, status: int, request_: bytes) -> None:
    """A head too large, or of another protocol, is a problem, and the connection ends."""
    with connect(url) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request_)
        answer = read_all(connection)

    assert read_status(answer) == status
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert Problem.model_validate(orjson.loads(body), extra="forbid").status == status


def test_a_refusal_of_the_protocol_is_in_its_form(url: str) -> None:
    """Under /v2 such an error is the protocol's own."""
    answer = exchange(url, b"GET /v2/health/live HTTP/1.1\r\n\r\n")

    assert read_status(answer) == 400
    assert [*orjson.loads(answer.partition(b"\r\n\r\n")[2])] == ["error"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 30_000 + b"\r\n\r\n",
        b"GET /livez?" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
    ids=lambda value: value[:40],
)
def test_what_is_unusual_and_allowed(url: str, request_: bytes) -> None:
    """Old and wordy clients are answered, and those that offer HTTP/2 at first."""
    assert read_status(exchange(url, request_)) == 200


def test_requests_of_one_connection_do_not_add_up(url: str) -> None:
    """The limit on a head is one on each, however many come on a connection, or at once."""
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"
    with connect(url) as connection:
        for _ in range(5):
            connection.sendall(request)
            assert b"200 OK" in connection.recv(65_536)
        connection.sendall(request * 3)
        wait_until(lambda: connection.recv(65_536, socket.MSG_PEEK).count(b"200 OK") == 3)


def test_a_body_beside_its_head(url: str) -> None:
    """A body larger than the limit on a head may come in the same piece as its head."""
    body = b"\x89PNG\r\n\x1a\n" + b"a" * 60_000
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    assert read_status(exchange(url, request)) == 400  # no picture, but it was read


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTT", 408),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n", 408),
        (HEAD + b"Content-Length: 2000\r\n\r\nabc", 408),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 408),
    ],
)
def test_a_request_that_stops(hasty: str, sent: bytes, status: int) -> None:
    """Who does not go on in time is told so, and the connection ends."""
    start = time.monotonic()
    with connect(hasty) as connection:
        connection.sendall(sent)
        answer = read_all(connection)

    assert read_status(answer) == status
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "begin", [b"GET /livez HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 20000\r\n\r\n"]
)
def test_drops_do_not_put_it_off(hasty: str, begin: bytes) -> None:
    """A byte now and then does not win more time: the deadline is for the whole."""
    start = time.monotonic()
    with connect(hasty) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 8:
                connection.sendall(b"a")
                time.sleep(0.1)
        lasted = time.monotonic() - start

    assert lasted < 6


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_empty_lines_do_not_hold_a_connection(hasty: str, first: bytes) -> None:
    """Line ends before a request, which HTTP allows, are on its clock too."""
    start = time.monotonic()
    with connect(hasty) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 8:
                connection.sendall(b"\r\n")
                time.sleep(0.1)
        lasted = time.monotonic() - start

    assert lasted < 6


def test_a_silent_connection_is_closed_without_a_word(hasty: str) -> None:
    """Browsers open connections in advance, and expect no answer to nothing."""
    with connect(hasty) as connection:
        assert read_all(connection) == b""


def test_a_body_that_nobody_reads(hasty: str) -> None:
    """Where the answer came before the body, the client has a moment to finish, and no more."""
    with connect(hasty) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
        answer = read_all(connection)

    assert read_status(answer) == 200


def test_an_answer_that_nobody_takes(hasty: str) -> None:
    """A client that asks for much and reads nothing is hung up on."""
    before = count_files()
    ask = b"GET /static/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(hasty) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(ask * 20)
        wait_until(lambda: count_files() > before + 1)
        wait_until(lambda: count_files() <= before + 1, timeout=10)


def test_slow_clients_do_not_hold_the_service(
    hasty: str, open_slowly: Callable[[int], list[socket.socket]]
) -> None:
    """With 200 slow clients good requests are answered, and all sockets come back."""
    good = {"content": make_png(77), "headers": {"Content-Type": "image/png"}}
    with httpx.Client(base_url=hasty, verify=TLS, timeout=5) as client:
        client.get("/livez")
        before = count_files()
        slow = open_slowly(200)
        answers = [client.post("/v1/reconstruct", **good) for _ in range(50)]
        told = [read_all(connection) for connection in slow]
        for connection in slow:
            connection.close()

        wait_until(lambda: count_files() <= before, timeout=10)

    assert {answer.status_code for answer in answers} == {200}
    assert {read_status(answer) for answer in told} == {408}


@pytest.fixture
def open_slowly(hasty: str) -> Callable[[int], list[socket.socket]]:
    """An opener of connections that stop in the head, or in the body, of a request."""

    def open_many(count: int) -> list[socket.socket]:
        connections = []
        for number in range(count):
            connection = connect(hasty)
            half = (
                b"GET /livez HTTP/1.1\r\n" if number % 2 else HEAD + b"Content-Length: 99\r\n\r\n"
            )
            connection.sendall(half)
            connections.append(connection)
        return connections

    return open_many


def test_every_bound_is_a_setting(store: Path) -> None:
    """The defaults of the settings are those of the connections."""
    settings = Settings(models_store=store)

    assert (settings.header_seconds, settings.body_seconds) == (
        Patience().header_seconds,
        Patience().body_seconds,
    )
