"""Open-loop load generator with microsecond precision, for latency percentiles.

The timers of an event loop have a resolution of about a millisecond, which is longer than a
response takes here. This generator polls the clock and its sockets without sleeping. Its results
include the delay with which it sent each request.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.harness.http_load import Request
from benchmarks.harness.servers import HOST

_CHUNK = 65536
_GRACE = 10.0
_OK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class TimedResponse:
    """The timing of one request."""

    send_delay: float
    """Seconds between the due time and sending."""
    seconds: float
    """Seconds between the due time and the complete response."""
    ok: bool
    """Whether the status is 200."""


@dataclass(slots=True)
class _Connection:
    """A connection with at most one request in flight."""

    socket: socket.socket
    due: float = 0.0
    sent: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, packed: bytes, due: float, now: float) -> None:
        """Send a request."""
        self.due, self.sent = due, now
        self.socket.sendall(packed)

    def receive(self) -> bool:
        """Receive a chunk; return whether the response is complete.

        Raises:
            ConnectionError: The server closed the connection.
        """
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("The server closed the connection.")
        self.received += chunk
        return is_complete(self.received)

    def finish(self) -> TimedResponse:
        """Return the timing of the request, and reset for the next one."""
        ok = self.received.startswith(_OK)
        self.received.clear()
        return TimedResponse(self.sent - self.due, time.perf_counter() - self.due, ok)


def is_complete(received: bytes | bytearray) -> bool:
    """Return whether a response with a Content-Length is complete."""
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length or 0)


def send_at_rate(
    port: int, request: Request, rate: float, seconds: float, connections: int
) -> list[TimedResponse]:
    """Send `rate` requests per second over keep-alive connections; return all timings.

    If all connections are busy, a request waits for one; its duration includes this delay.

    Raises:
        RuntimeError: Responses are missing at the end.
    """
    packed, count, done = request.pack(), int(rate * seconds), list[TimedResponse]()
    with ExitStack() as stack, _garbage_collection_disabled(), select.epoll() as poll:
        pool = [_Connection(stack.enter_context(_connect(port))) for _ in range(connections)]
        by_file = {connection.socket.fileno(): connection for connection in pool}
        for file in by_file:
            poll.register(file, select.EPOLLIN)
        # Use the least recently used connection, or the server closes the others as idle.
        idle, number, start = deque(pool), 0, time.perf_counter()
        while len(done) < count:
            now, due = time.perf_counter(), start + number / rate
            if now > start + seconds + _GRACE:
                raise RuntimeError(f"{count - len(done)} of {count} responses are missing.")
            if number < count and idle and now >= due:
                idle.popleft().send(packed, due, now)
                number += 1
            finished = [by_file[file] for file, _ in poll.poll(0) if by_file[file].receive()]
            done += [connection.finish() for connection in finished]
            idle += finished
    return done


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def _garbage_collection_disabled() -> Iterator[None]:
    """Disable Python's garbage collector, which would pause the load generator."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
