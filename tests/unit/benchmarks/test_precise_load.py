"""The open loop of latency: what it sends, when, and what it takes for an answer."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from loads import Request
from performance.steady import is_complete, send_steadily

REQUEST = Request("picture", "/v1/classify", b"\x89PNG", "image/png")


class Echo(BaseHTTPRequestHandler):
    """Answers 200 with the body that came."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body == REQUEST.body else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a server that echoes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_every_request_is_sent_and_answered(port: int) -> None:
    """As many requests as the rate and the time give are sent, none early, and all are answered."""
    sent = send_steadily(port, REQUEST, rate=100, seconds=0.2, connections=3)

    assert len(sent) == 20
    assert all(one.good for one in sent)
    assert all(0 <= one.late <= one.seconds for one in sent)


def test_a_bad_answer_is_not_good(port: int) -> None:
    """An answer with another status than 200 is told apart."""
    (sent,) = send_steadily(port, Request("bad", "/", b"nothing"), 10, 0.1, 1)

    assert not sent.good


@pytest.mark.parametrize(
    ("received", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_an_answer_ends_with_its_body(received: bytes, complete: bool) -> None:
    """An answer is complete when its head and as much as its Content-Length are there."""
    assert is_complete(received) is complete
