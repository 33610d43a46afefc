"""A lean open loop: sends when it is time, on a CPU that it never leaves idle.

An event loop's timers are a millisecond coarse, which is longer than an answer takes here. This
sender asks the clock and its sockets in turn without sleeping, so it is late by microseconds; how
late is part of what it returns.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from loads import Request
from servers import HOST

_CHUNK = 65536
_GRACE = 10.0
_OK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and its answer."""

    late: float
    """Seconds from when it was due until it was sent."""
    seconds: float
    """From when it was due until its answer was there."""
    good: bool


@dataclass(slots=True)
class _Line:
    """A connection with at most one request on its way."""

    socket: socket.socket
    due: float = 0.0
    sent: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, packed: bytes, due: float, now: float) -> None:
        """Send a request."""
        self.due, self.sent = due, now
        self.socket.sendall(packed)

    def finish(self) -> Sent:
        """Return what came of the request, and be ready for the next."""
        good = self.received.startswith(_OK)
        self.received.clear()
        return Sent(self.sent - self.due, time.perf_counter() - self.due, good)

    def take(self) -> bool:
        """Receive; tell whether the answer is complete.

        Raises:
            ConnectionError: the server hung up.
        """
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server hung up")
        self.received += chunk
        return is_complete(self.received)


def is_complete(received: bytes | bytearray) -> bool:
    """Tell whether an answer with a Content-Length is all there."""
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length or 0)


def send_steadily(
    port: int, request: Request, rate: float, seconds: float, connections: int
) -> list[Sent]:
    """Send `rate` requests a second over connections that stay; return all of them.

    A request that finds every connection busy waits for one, and that counts as its own wait.

    Raises:
        RuntimeError: answers did not come.
    """
    packed, count, done = request.pack(), int(rate * seconds), list[Sent]()
    with ExitStack() as stack, _without_collector(), select.epoll() as poll:
        lines = [_Line(stack.enter_context(_connect(port))) for _ in range(connections)]
        by_file = {line.socket.fileno(): line for line in lines}
        for file in by_file:
            poll.register(file, select.EPOLLIN)
        # The one that rested longest is next, or a server would hang up on those that always rest.
        idle, number, start = deque(lines), 0, time.perf_counter()
        while len(done) < count:
            now, due = time.perf_counter(), start + number / rate
            if now > start + seconds + _GRACE:
                raise RuntimeError(f"{count - len(done)} answers did not come")
            if number < count and idle and now >= due:
                idle.popleft().send(packed, due, now)
                number += 1
            finished = [by_file[file] for file, _ in poll.poll(0) if by_file[file].take()]
            done += [line.finish() for line in finished]
            idle += finished
    return done


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python's collector from stopping the sender."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
