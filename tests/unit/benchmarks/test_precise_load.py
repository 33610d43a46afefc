"""The load generator for latency percentiles, against an echo server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.harness.http_load import Request
from benchmarks.harness.precise_load import is_complete, send_at_rate

REQUEST = Request("image", "/v1/classify", b"\x89PNG", "image/png")


class Echo(BaseHTTPRequestHandler):
    """Returns the body of the expected request with 200, and any other one with 400."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Respond to a POST request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body == REQUEST.body else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Disable the log."""


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of an echo server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_every_request_gets_a_response(port: int) -> None:
    """The number of requests is rate x seconds, and none is sent before it is due."""
    responses = send_at_rate(port, REQUEST, rate=100, seconds=0.2, connections=3)

    assert len(responses) == 20
    assert all(one.ok for one in responses)
    assert all(0 <= one.send_delay <= one.seconds for one in responses)


def test_error_status_is_not_ok(port: int) -> None:
    """A response with a status other than 200 is not ok."""
    (response,) = send_at_rate(port, Request("bad", "/", b"nothing"), 10, 0.1, 1)

    assert not response.ok


@pytest.mark.parametrize(
    ("received", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_response_ends_with_its_body(received: bytes, complete: bool) -> None:
    """A response is complete with its head and as many bytes as its Content-Length."""
    assert is_complete(received) is complete
