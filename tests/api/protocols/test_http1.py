"""HTTP/1.1 as clients send it: ignored upgrades, trailers, transfer codings, half-closes."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request

from service.http.api_keys import INFER, make_key
from service.server.request_head import HEAD_BYTES
from service.settings import Settings
from tests.support.servers import connect, exchange, run_server, run_service, wait_until

H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
"""The offer that Java's default HTTP client and `curl --http2` add to each request."""
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"


class Echo:
    """An application that returns each request, and counts those that it cancels."""

    def __init__(self) -> None:
        """Define the routes."""
        self.app = FastAPI()
        self.cancelled = 0
        self.app.get("/last")(self.echo)
        self.app.post("/echo")(self.echo)
        self.app.post("/slow")(self.respond_slowly)

    async def echo(self, request: Request) -> dict[str, Any]:
        """Return the headers and the body."""
        body = (await request.body()).decode()
        return {"headers": dict(request.headers), "body": body}

    async def respond_slowly(self, request: Request) -> str:
        """Return after 0.7 s; stop when the client disconnects."""
        await request.body()
        for _ in range(70):
            if await request.is_disconnected():
                self.cancelled += 1
            await asyncio.sleep(0.01)
        return "done"


@pytest.fixture(scope="module")
def echo() -> Echo:
    """The application behind the server."""
    return Echo()


@pytest.fixture(scope="module")
def base(echo: Echo) -> Iterator[str]:
    """The base URL of the server."""
    with run_server(echo.app) as url:
        yield url


def receive(base: str, *parts: bytes, half_close: bool = False) -> bytes:
    """Send parts with pauses between them; return all bytes until the server closes."""
    received = b""
    with connect(base) as connection, contextlib.suppress(ConnectionError):
        for number, part in enumerate(parts):
            time.sleep(0.02 if number else 0)
            connection.sendall(part)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def split_responses(received: bytes) -> list[tuple[int, Any]]:
    """Return the status and the parsed body of each response."""
    responses = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        responses.append((int(head.split()[1]), orjson.loads(received[:length])))
        received = received[length:]
    return responses


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (POST + H2C + b"Content-Length: 5\r\n\r\n", b"hello"),
        (POST + b"Content-Length: 5\r\n" + H2C + b"Expect: x\r\n\r\n", b"hello"),
        (CHUNKED + H2C + b"\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (POST + b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 5\r\n\r\n", b"hello"),
    ],
    ids=["java", "order", "chunked", "tls"],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_an_offer_to_upgrade_is_ignored(
    base: str, head: bytes, body: bytes, *, is_split: bool
) -> None:
    """The request is served over HTTP/1.1 with its body, and so are the requests that follow."""
    message = head + body
    parts = [message, message, LAST] if is_split else [message + message + LAST]
    if is_split:
        parts[:1] = [head, body[:2], body[2:]]

    responses = split_responses(receive(base, *parts))

    assert [(status, content["body"]) for status, content in responses] == [
        (200, "hello"),
        (200, "hello"),
        (200, ""),
    ]


def test_an_upgrade_without_a_body_is_ignored(base: str) -> None:
    """The bytes after such a request are the next request, also in the same packet."""
    offer = b"GET /last HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n"
    empty = POST + H2C + b"Content-Length: 0\r\n\r\n"

    responses = split_responses(receive(base, offer * 2 + empty + LAST))

    assert [status for status, _ in responses] == [200] * 4


def test_the_body_after_an_ignored_upgrade_is_limited(base: str) -> None:
    """After an ignored upgrade, a broken body is 400 and too large trailers are 431."""
    head = CHUNKED + H2C + b"\r\n"

    assert split_responses(receive(base, head + b"xyz\r\n"))[0][0] == 400
    trailers = b"0\r\n" + b"X: a\r\n" * 20_000
    assert split_responses(receive(base, head, trailers))[0][0] == 431


def test_trailers_are_not_headers(base: str) -> None:
    """A field after the last chunk does not reach the application."""
    trailer = b"X-API-Key: secret\r\nContent-Type: text/plain\r\n"

    responses = split_responses(
        receive(base, CHUNKED + b"\r\n5\r\nhello\r\n0\r\n" + trailer + b"\r\n" + LAST)
    )

    assert [(status, content["body"]) for status, content in responses] == [
        (200, "hello"),
        (200, ""),
    ]
    assert all("x-api-key" not in content["headers"] for _, content in responses)


def test_a_key_in_a_trailer_does_not_authenticate(store: Path) -> None:
    """The key opens the service in the head of a request and not in its trailers."""
    text, key = make_key("client", frozenset({INFER}))
    head = b"POST /v1/sample HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    field = f"X-API-Key: {text}\r\n".encode()
    with run_service(Settings(models_store=store, api_keys=key.to_line())) as client:
        base = str(client.base_url).rstrip("/")
        in_head = exchange(base, head + field + b"\r\n0\r\n\r\n")
        in_trailer = exchange(base, head + b"\r\n0\r\n" + field + b"\r\n")

    assert in_head.startswith(b"HTTP/1.1 200 ")
    assert in_trailer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "overhead",
    [
        b"0\r\n" + b"X: a\r\n" * 20_000,
        b"0\r\nX: " + b"a" * (HEAD_BYTES + 1),
        b"1;" + b"a" * (HEAD_BYTES + 1),
        b"".join([b"1;" + b"a" * 1_000 + b"\r\nx\r\n"] * 40),
    ],
    ids=["trailers", "trailer", "extension", "extensions"],
)
def test_chunk_extensions_and_trailers_are_limited(base: str, overhead: bytes) -> None:
    """Bytes of a chunked body that are not content get 431 over the limit of a head."""
    responses = split_responses(receive(base, CHUNKED + b"\r\n", overhead))

    assert [status for status, _ in responses] == [431]
    assert str(HEAD_BYTES) in responses[0][1]["detail"]


def test_many_chunks_are_within_the_limit(base: str) -> None:
    """The sizes of chunks do not count as extensions, however many chunks there are."""
    chunks = b"1;a=1\r\nx\r\n" * 60_000

    responses = split_responses(receive(base, CHUNKED + b"\r\n", chunks + b"0\r\n\r\n" + LAST))

    assert [(status, len(content["body"])) for status, content in responses] == [
        (200, 60_000),
        (200, 0),
    ]


@pytest.mark.parametrize(
    "codings",
    [b"gzip, chunked", b"chunked, chunked", b"chunked\r\nTransfer-Encoding: chunked", b"gzip"],
)
def test_transfer_codings_are_rejected(base: str, codings: bytes) -> None:
    """The server decodes no transfer coding except `chunked`: 501 (RFC 9112, section 6.1)."""
    head = POST + b"Transfer-Encoding: " + codings + b"\r\n\r\n"

    ((status, problem),) = split_responses(receive(base, head + b"5\r\nhello\r\n0\r\n\r\n"))

    assert status in {400, 501}
    assert "chunked" in problem["detail"] or status == 400


def test_a_half_closed_request_gets_its_response(base: str) -> None:
    """A client may end its stream after the request and read the response afterwards."""
    fast = POST + b"Content-Length: 5\r\n\r\nhello"
    slow = fast.replace(b"/echo", b"/slow")

    assert b'"body":"hello"' in receive(base, fast, half_close=True)
    received = receive(base, slow, half_close=True)
    assert received.startswith(INTERIM + b"HTTP/1.1 200 OK")
    assert received.endswith(b'"done"')
    old = slow.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert receive(base, old, half_close=True).startswith(b"HTTP/1.1 200 OK")
    pipelined = split_responses(receive(base, fast + fast, half_close=True))
    assert [content["body"] for _, content in pipelined] == ["hello", "hello"]


def test_a_closed_connection_cancels_its_request(base: str, echo: Echo) -> None:
    """A client that closes instead of half-closing counts as disconnected within half a second."""
    slow = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    before = echo.cancelled
    with connect(base) as connection:
        connection.sendall(slow)

    wait_until(lambda: echo.cancelled > before, timeout=0.6)


def test_pipelined_requests_precede_a_rejection(base: str) -> None:
    """Requests before invalid bytes on a connection get their responses."""
    fast = POST + b"Content-Length: 5\r\n\r\nhello"

    responses = split_responses(receive(base, fast * 2 + b"\x16\x03\x01\x02 invalid"))

    assert [status for status, _ in responses] == [200, 200]


@pytest.mark.parametrize("target", [b"http://x:99999/", b"http://x"])
def test_an_invalid_target_is_rejected(base: str, target: bytes) -> None:
    """A request target that the parser accepts but cannot split is 400."""
    request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"

    assert split_responses(receive(base, request))[0][0] == 400
