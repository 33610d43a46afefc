"""Requests that no HTTP client would send: lengths that lie, bodies that stop, odd paths."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.servers import exchange, wait_until

ExpectProblem = Callable[..., dict[str, Any]]

HEAD = b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def read_status(answer: bytes) -> int:
    """Return an answer's status."""
    return int(answer.split(b" ", 2)[1])


def chunk(content: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


@pytest.fixture(autouse=True)
def _stays_well(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = client.post("/v1/sample?seed=1").content
    yield
    assert client.post("/v1/sample?seed=1").content == before
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: -1",
        b"Content-Length: abc",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Content-Length: " + b"9" * 100,
        b"Transfer-Encoding: chunked\r\n\r\nxyz",
    ],
)
def test_a_length_that_is_none(url: str, header: bytes) -> None:
    """A body whose length cannot be told is 400, before anything is guessed."""
    answer = exchange(url, HEAD + header + b"\r\n\r\n0\r\n\r\n")

    assert read_status(answer) == 400


@pytest.mark.parametrize("length", [100_001, 10**18])
def test_a_length_over_the_limit(url: str, length: int) -> None:
    """A body that says it will be over the limit is 413 at once, before it arrives."""
    answer = exchange(url, HEAD + f"Content-Length: {length}\r\n\r\n".encode())

    assert read_status(answer) == 413
    assert b"LATENTD_MAX_BODY_BYTES" in answer


def test_chunks_over_the_limit(url: str) -> None:
    """A body that does not say its length is counted while it arrives."""
    body = chunk(b" " * 4096) * 30

    answer = exchange(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)

    assert read_status(answer) == 413
    assert b"LATENTD_MAX_BODY_BYTES" in answer


def test_many_small_chunks(url: str) -> None:
    """A body of 30,000 chunks of one byte is put together in no time."""
    body = chunk(b" ") * 30_000 + b"0\r\n\r\n"
    start = time.perf_counter()

    answer = exchange(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)

    assert read_status(answer) == 400
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("start", [b"FOO /livez HTTP/1.1", b"GET", b"\x16\x03\x01\x02"])
def test_what_is_no_http(url: str, start: bytes) -> None:
    """An unknown method, half a line or another protocol is 400."""
    answer = exchange(url, start + b"\r\nHost: x\r\n\r\n")

    assert read_status(answer) == 400


@pytest.mark.parametrize("host", ["[", "a/livez?x=", "x:y:z", "\x7f", ""])
def test_a_host_that_is_none(url: str, host: str) -> None:
    """Whatever the client calls the service, the path alone decides what answers."""
    answer = exchange(url, f"GET /nowhere HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert read_status(answer) in {400, 404}


def test_an_upgrade_is_not_followed(url: str) -> None:
    """The service speaks no WebSocket: a request to change over is answered as plain HTTP."""
    request = (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    assert read_status(exchange(url, request)) in {200, 403, 426}


def test_a_client_that_leaves_in_the_middle(
    url: str, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that is gone before its body arrived leaves one line in the log, no traceback."""
    caplog.set_level("INFO", logger="service.access")
    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(HEAD + b'Content-Length: 2000\r\n\r\n{"images": ')

    wait_until(lambda: caplog.text.count(" 499 ") == 20)

    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/", 404),
        ("GET", "/static/../schemas.py", 404),
        ("GET", "/static/%2e%2e/schemas.py", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/v1/models/%2e%2e", 404),
        ("GET", "/v1/models/a%00b", 404),
        ("GET", "/v1/models/" + "a" * 300, 404),
        ("GET", "/v1/models/full%2f1", 404),
        ("GET", "/v1/encode", 405),
        ("DELETE", "/livez", 405),
        ("PUT", "/v1/models", 405),
        ("POST", "/openapi.json", 405),
        ("POST", "/static/favicon.png", 405),
        ("OPTIONS", "/v1/encode", 405),
    ],
)
def test_paths_and_methods_that_are_not_there(
    expect_problem: ExpectProblem, method: str, path: str, status: int
) -> None:
    """An unknown path is 404 and an unknown method 405, as problems like all others."""
    problem = expect_problem(status, path, method)

    assert problem["type"] in {
        "urn:latentd:problem:not-found",
        "urn:latentd:problem:model-not-found",
        "urn:latentd:problem:method-not-allowed",
    }


def test_a_refused_method_says_which_are_allowed(client: httpx.Client) -> None:
    """405 comes with `Allow` (RFC 9110, section 15.5.6)."""
    assert client.get("/v1/encode").headers["Allow"] == "POST"


def test_control_characters_do_not_reach_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A path cannot forge a line of the log, and its answer is JSON."""
    caplog.set_level("INFO", logger="service.access")

    answer = client.get("/a%0d%0aforged%1b[31m%00")

    assert json.loads(answer.content)["status"] == 404
    wait_until(lambda: "forged" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.name == "service.access"]
    lines = [line for line in lines if "forged" in line]
    assert len(lines) == 1
    assert lines[0].isprintable()
