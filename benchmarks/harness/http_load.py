"""HTTP/1.1 load generator with an open loop and a closed loop.

An open loop sends at fixed times instead of waiting for the previous response. It therefore
measures the delay of requests that arrive while the server stalls.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.harness.servers import HOST

OK = 200
_MAX_IN_FLIGHT = 2000
_TIMEOUT = 60.0
_IDLE_SECONDS = 2.0
"""Shorter than the server's keep-alive timeout, so that no request meets a closing connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request."""

    name: str
    """Name in tables."""
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    """Additional header names and values."""

    def pack(self) -> bytes:
        """Return the request as bytes."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {HOST}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "\r\n"]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request."""

    request: Request
    status: int
    """0 without a response."""
    seconds: float
    """Duration since the request was due."""
    body: bytes
    at: float
    """Time of completion, on the clock of `time.monotonic`."""
    headers: dict[str, str] = field(default_factory=dict)
    """Values by lower-case name."""


@dataclass(slots=True)
class Client:
    """A pool of keep-alive connections, as many as there are requests in flight."""

    port: int
    rotate: bool = False
    """Use the least recently used idle connection, not the most recently used one."""
    timeout: float = _TIMEOUT
    """Seconds for one request."""
    _idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = field(
        default_factory=deque
    )

    async def connect(self, count: int) -> None:
        """Open idle connections."""
        opening = [asyncio.open_connection(HOST, self.port) for _ in range(count)]
        now = time.monotonic()
        self._idle.extend((*streams, now) for streams in await asyncio.gather(*opening))

    async def send(
        self, request: Request, due: float | None = None, packed: bytes | None = None
    ) -> Response:
        """Send a request and return its response.

        Args:
            request: The request.
            due: The time to measure from; None for now.
            packed: The request as bytes, if they exist already.
        """
        due = time.monotonic() if due is None else due
        status, headers, body = 0, dict[str, str](), b""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with asyncio.timeout(self.timeout):
                status, headers, body = await self._exchange(packed or request.pack())
        now = time.monotonic()
        return Response(request, status, now - due, body, now, headers)

    async def _exchange(self, packed: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = self._reuse() or await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(packed)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer, time.monotonic()))
        return int(first[9:12]), headers, body

    def _reuse(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return an idle connection that the server has not closed yet."""
        while self._idle:
            reader, writer, since = self._idle.popleft() if self.rotate else self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        """Close all idle connections."""
        for _, writer, _ in self._idle:
            writer.close()
        self._idle.clear()


async def send_once(port: int, request: Request, timeout: float = _TIMEOUT) -> Response:  # noqa: ASYNC109 - a request's
    """Send a request over a new connection."""
    client = Client(port, timeout=timeout)
    try:
        return await client.send(request)
    finally:
        client.close()


async def send_open_loop(
    client: Client, requests: Iterable[Request], rate: float, seconds: float
) -> list[Response]:
    """Send `rate` requests per second for `seconds`; return all responses.

    Raises:
        RuntimeError: Too many requests are in flight.
    """
    pending: set[asyncio.Task[Response]] = set()
    responses: list[Response] = []

    def keep(task: asyncio.Task[Response]) -> None:
        pending.discard(task)
        if not task.cancelled():
            responses.append(task.result())

    packed: dict[int, bytes] = {}
    start = time.monotonic()
    for number, request in zip(range(int(rate * seconds)), requests, strict=False):
        due = start + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        if len(pending) > _MAX_IN_FLIGHT:
            raise RuntimeError(f"More than {_MAX_IN_FLIGHT} requests are in flight.")
        data = packed.get(id(request)) or packed.setdefault(id(request), request.pack())
        task = asyncio.create_task(client.send(request, due, data))
        pending.add(task)
        task.add_done_callback(keep)
    while pending:
        await asyncio.wait(pending)
    return responses


async def send_closed_loop(
    client: Client, request: Request, connections: int, seconds: float
) -> float:
    """Return the successful responses per second of clients that wait for each response."""
    packed = request.pack()
    start = time.monotonic()

    async def repeat() -> int:
        successes = 0
        while time.monotonic() < start + seconds:
            response = await client.send(request, packed=packed)
            successes += response.status == OK
        return successes

    counts = await asyncio.gather(*(repeat() for _ in range(connections)))
    return sum(counts) / (time.monotonic() - start)


async def sample_periodically(
    read: Callable[[], float], period: float, stop: asyncio.Event
) -> list[tuple[float, float]]:
    """Return (time, value) pairs, one every `period` seconds until `stop` is set."""
    samples = []
    while not stop.is_set():
        samples.append((time.monotonic(), read()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await stop.wait()
    return samples


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; NaN if empty."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
