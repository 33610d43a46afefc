"""Senders: HTTP/1.1 over connections of their own, in an open loop.

An open loop sends when it is time, not when the last answer is there; so it sees what a server
does to those who come while it stalls.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from servers import HOST

_MOST_IN_FLIGHT = 2000
_TIMEOUT = 60.0
_IDLE_SECONDS = 2.0
"""Less than the server keeps idle connections for; or a request could cross its hanging up."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent."""

    name: str
    """What it is called in a table."""
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values, besides those that every request has."""

    def pack(self) -> bytes:
        """Return its bytes."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {HOST}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "\r\n"]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    request: Request
    status: int
    """0 where no answer came."""
    seconds: float
    """From when it was to be sent."""
    body: bytes
    at: float
    """When the answer had come, on the clock of `time.monotonic`."""


@dataclass(slots=True)
class Sender:
    """Connections that are kept and used again; as many as there are requests in flight."""

    port: int
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = field(
        default_factory=list
    )

    async def send(self, request: Request, packed: bytes, due: float) -> Answer:
        """Send a request and wait for its answer; `due` is when it should have been sent."""
        status, body = 0, b""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with asyncio.timeout(_TIMEOUT):
                status, body = await self._exchange(packed)
        now = time.monotonic()
        return Answer(request, status, now - due, body, now)

    async def _exchange(self, packed: bytes) -> tuple[int, bytes]:
        reader, writer = self._reuse() or await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(packed)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer, time.monotonic()))
        return int(head[9:12]), body

    def _reuse(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a connection that has been idle for so short a time that the server keeps it."""
        while self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def close(self) -> None:
        """Close every connection."""
        for _, writer, _ in self._idle:
            writer.close()
        self._idle.clear()


async def send_open_loop(
    sender: Sender, requests: Iterable[Request], rate: float, seconds: float
) -> list[Answer]:
    """Send `rate` requests a second for so many seconds; return all answers.

    Raises:
        RuntimeError: more are in flight than a bounded sender may have.
    """
    pending: set[asyncio.Task[Answer]] = set()
    answers: list[Answer] = []

    def keep(task: asyncio.Task[Answer]) -> None:
        pending.discard(task)
        if not task.cancelled():
            answers.append(task.result())

    packed: dict[int, bytes] = {}
    start = time.monotonic()
    for number, request in zip(range(int(rate * seconds)), requests, strict=False):
        due = start + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        if len(pending) > _MOST_IN_FLIGHT:
            raise RuntimeError(f"over {_MOST_IN_FLIGHT} requests are in flight")
        data = packed.get(id(request)) or packed.setdefault(id(request), request.pack())
        task = asyncio.create_task(sender.send(request, data, due))
        pending.add(task)
        task.add_done_callback(keep)
    while pending:
        await asyncio.wait(pending)
    return answers


async def send_closed_loop(
    sender: Sender, request: Request, connections: int, seconds: float
) -> float:
    """Return how many good answers a second so many clients get that wait for each."""
    packed = request.pack()
    start = time.monotonic()

    async def repeat() -> int:
        good = 0
        while time.monotonic() < start + seconds:
            answer = await sender.send(request, packed, time.monotonic())
            good += answer.status == 200  # noqa: PLR2004 - HTTP
        return good

    counts = await asyncio.gather(*(repeat() for _ in range(connections)))
    return sum(counts) / (time.monotonic() - start)


async def sample_often(
    read: Callable[[], float], every: float, stop: asyncio.Event
) -> list[tuple[float, float]]:
    """Return (time, value) pairs, taken until told to stop."""
    taken = []
    while not stop.is_set():
        taken.append((time.monotonic(), read()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stop.wait()
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of them does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
