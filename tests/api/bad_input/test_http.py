"""Invalid HTTP: wrong lengths, incomplete bodies, unusual paths and methods."""

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


def read_status(response: bytes) -> int:
    """Return the status of a response."""
    return int(response.split(b" ", 2)[1])


def chunk(content: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


@pytest.fixture(autouse=True)
def _check_health(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
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
def test_invalid_lengths_are_rejected(url: str, header: bytes) -> None:
    """A body whose length is invalid or ambiguous is 400."""
    response = exchange(url, HEAD + header + b"\r\n\r\n0\r\n\r\n")

    assert read_status(response) == 400


@pytest.mark.parametrize("length", [100_001, 10**18])
def test_a_declared_length_over_the_limit_is_rejected(url: str, length: int) -> None:
    """A Content-Length over the limit is 413 before the body arrives."""
    response = exchange(url, HEAD + f"Content-Length: {length}\r\n\r\n".encode())

    assert read_status(response) == 413
    assert b"LATENTD_MAX_BODY_BYTES" in response


def test_chunks_over_the_limit_are_rejected(url: str) -> None:
    """A chunked body is 413 as soon as its bytes exceed the limit."""
    body = chunk(b" " * 4096) * 30

    response = exchange(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)

    assert read_status(response) == 413
    assert b"LATENTD_MAX_BODY_BYTES" in response


def test_many_small_chunks_are_fast(url: str) -> None:
    """The service joins 30,000 chunks of one byte within 5 s."""
    body = chunk(b" ") * 30_000 + b"0\r\n\r\n"
    start = time.perf_counter()

    response = exchange(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)

    assert read_status(response) == 400
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("start", [b"FOO /livez HTTP/1.1", b"GET", b"\x16\x03\x01\x02"])
def test_invalid_request_lines_are_rejected(url: str, start: bytes) -> None:
    """An unknown method, an incomplete line or another protocol is 400."""
    response = exchange(url, start + b"\r\nHost: x\r\n\r\n")

    assert read_status(response) == 400


@pytest.mark.parametrize("host", ["[", "a/livez?x=", "x:y:z", "\x7f", ""])
def test_an_invalid_host_does_not_change_the_route(url: str, host: str) -> None:
    """The route depends on the path and not on the Host header."""
    response = exchange(url, f"GET /nowhere HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert read_status(response) in {400, 404}


def test_an_upgrade_to_websocket_is_rejected(url: str) -> None:
    """The service does not support WebSocket: such a request gets 426."""
    request = (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    assert read_status(exchange(url, request)) == 426


def test_a_disconnect_during_a_body_is_logged(
    url: str, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A disconnect before the end of a body causes one line in the log, and no traceback."""
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
def test_unknown_paths_and_methods_are_problems(
    expect_problem: ExpectProblem, method: str, path: str, status: int
) -> None:
    """An unknown path is 404 and a wrong method 405, both with problem details."""
    problem = expect_problem(status, path, method)

    assert problem["type"] in {
        "urn:latentd:problem:not-found",
        "urn:latentd:problem:model-not-found",
        "urn:latentd:problem:method-not-allowed",
    }


def test_a_wrong_method_lists_the_allowed_ones(client: httpx.Client) -> None:
    """A response with status 405 has an `Allow` header (RFC 9110, section 15.5.6)."""
    assert client.get("/v1/encode").headers["Allow"] == "POST"


def test_control_characters_do_not_reach_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A path cannot forge a line of the log, and its response is JSON."""
    caplog.set_level("INFO", logger="service.access")

    response = client.get("/a%0d%0aforged%1b[31m%00")

    assert json.loads(response.content)["status"] == 404
    wait_until(lambda: "forged" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.name == "service.access"]
    lines = [line for line in lines if "forged" in line]
    assert len(lines) == 1
    assert lines[0].isprintable()
