"""Limits on the connections of one client: size, time and protocol."""

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
from service.server.connection import Timeouts
from service.server.request_head import HEAD_BYTES, URI_BYTES
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.image_files import make_png
from tests.support.servers import TLS, connect, count_files, exchange, run_server, wait_until

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
SHORT = Timeouts(header_seconds=0.5, body_seconds=1.0)


@pytest.fixture(scope="module")
def impatient(settings: Settings) -> Iterator[str]:
    """The base URL of a service that waits 0.5 s for a head and 1 s for a body."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry), SHORT) as base:
        yield base


def read_status(response: bytes) -> int:
    """Return the status of a response."""
    return int(response.split(b" ", 2)[1])


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
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
        (501, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:40],
)
def test_invalid_heads_are_rejected(url: str, status: int, request_: bytes) -> None:
    """A head that is too large or of another protocol gets a problem and a closed connection."""
    with connect(url) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request_)
        response = read_all(connection)

    assert read_status(response) == status
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert Problem.model_validate(orjson.loads(body), extra="forbid").status == status


def test_rejections_of_v2_have_its_form(url: str) -> None:
    """Under /v2 such an error has the form of the Open Inference Protocol."""
    response = exchange(url, b"GET /v2/health/live HTTP/1.1\r\n\r\n")

    assert read_status(response) == 400
    assert [*orjson.loads(response.partition(b"\r\n\r\n")[2])] == ["error"]


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
def test_unusual_heads_are_valid(url: str, request_: bytes) -> None:
    """HTTP/1.0, long heads, unusual hosts and offers of HTTP/2 get a response."""
    assert read_status(exchange(url, request_)) == 200


def test_the_limit_counts_each_head_alone(url: str) -> None:
    """The limit on a head does not sum over the requests of a connection or of a packet."""
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"
    with connect(url) as connection:
        for _ in range(5):
            connection.sendall(request)
            assert b"200 OK" in connection.recv(65_536)
        connection.sendall(request * 3)
        wait_until(lambda: connection.recv(65_536, socket.MSG_PEEK).count(b"200 OK") == 3)


def test_the_limit_excludes_the_body(url: str) -> None:
    """A body may arrive in the same packet as its head and exceed the limit on heads."""
    body = b"\x89PNG\r\n\x1a\n" + b"a" * 60_000
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    assert read_status(exchange(url, request)) == 400  # an invalid image, but the service read it


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTT", 408),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n", 408),
        (HEAD + b"Content-Length: 2000\r\n\r\nabc", 408),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 408),
    ],
)
def test_an_incomplete_request_times_out(impatient: str, sent: bytes, status: int) -> None:
    """A request that stays incomplete gets 408 and a closed connection."""
    start = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(sent)
        response = read_all(connection)

    assert read_status(response) == status
    assert b" seconds (setting LATENTD_" in response
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "begin", [b"GET /livez HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 20000\r\n\r\n"]
)
def test_slow_bytes_do_not_extend_the_timeout(impatient: str, begin: bytes) -> None:
    """The timeout covers the whole head or body, however often a byte arrives."""
    start = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 8:
                connection.sendall(b"a")
                time.sleep(0.1)
        lasted = time.monotonic() - start

    assert lasted < 6


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_empty_lines_do_not_extend_the_timeout(impatient: str, first: bytes) -> None:
    """The timeout of a head includes empty lines before it, which HTTP permits."""
    start = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 8:
                connection.sendall(b"\r\n")
                time.sleep(0.1)
        lasted = time.monotonic() - start

    assert lasted < 6


def test_an_idle_connection_closes_without_a_response(impatient: str) -> None:
    """Browsers open connections in advance, and expect a response only to a request."""
    with connect(impatient) as connection:
        assert read_all(connection) == b""


def test_an_unread_body_has_little_time(impatient: str) -> None:
    """After an early response the connection closes, although the body is incomplete."""
    with connect(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
        response = read_all(connection)

    assert read_status(response) == 200


def test_an_unread_response_times_out(impatient: str) -> None:
    """The server closes the connection of a client that does not read its responses."""
    before = count_files()
    request = b"GET /static/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(impatient) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request * 20)
        wait_until(lambda: count_files() > before + 1)
        wait_until(lambda: count_files() <= before + 1, timeout=10)


def test_slow_clients_do_not_block_others(
    impatient: str, open_slowly: Callable[[int], list[socket.socket]]
) -> None:
    """With 200 slow clients, other requests get responses, and all sockets are closed."""
    good = {"content": make_png(77), "headers": {"Content-Type": "image/png"}}
    with httpx.Client(base_url=impatient, verify=TLS, timeout=5) as client:
        client.get("/livez")
        before = count_files()
        slow = open_slowly(200)
        responses = [client.post("/v1/reconstruct", **good) for _ in range(50)]
        slow_responses = [read_all(connection) for connection in slow]
        for connection in slow:
            connection.close()

        wait_until(lambda: count_files() <= before, timeout=10)

    assert {response.status_code for response in responses} == {200}
    assert {read_status(response) for response in slow_responses} == {408}


@pytest.fixture
def open_slowly(impatient: str) -> Callable[[int], list[socket.socket]]:
    """A function that opens connections and sends half a head, or a head without its body."""

    def open_many(count: int) -> list[socket.socket]:
        connections = []
        for number in range(count):
            connection = connect(impatient)
            half = (
                b"GET /livez HTTP/1.1\r\n" if number % 2 else HEAD + b"Content-Length: 99\r\n\r\n"
            )
            connection.sendall(half)
            connections.append(connection)
        return connections

    return open_many


def test_timeouts_are_settings(store: Path) -> None:
    """Settings and connections have the same default timeouts."""
    settings = Settings(models_store=store)

    assert (settings.header_seconds, settings.body_seconds) == (
        Timeouts().header_seconds,
        Timeouts().body_seconds,
    )
