"""Clients that crash, stall, cancel their requests, or do not read the responses."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

from benchmarks.harness.http_load import Request
from benchmarks.harness.servers import HOST

BadClient: TypeAlias = Callable[[int, bytes], Coroutine[None, None, None]]
"""Misbehaves at a port with a request."""

_STALL_SECONDS = 8.0
"""Longer than the interval in which a body has to advance."""
_CANCEL_SECONDS = 0.02


async def crash(port: int, packed: bytes) -> None:
    """Send a part of a request and reset the connection."""
    await _send(port, packed[: len(packed) * 2 // 3], 0.0)


async def stall(port: int, packed: bytes) -> None:
    """Send a part of a request, and then nothing."""
    await _send(port, packed[:-1], _STALL_SECONDS)


async def cancel(port: int, packed: bytes) -> None:
    """Send a request and reset the connection while the service works on it."""
    await _send(port, packed, _CANCEL_SECONDS)


async def ignore_response(port: int, packed: bytes) -> None:
    """Send a request and do not read the response."""
    await _send(port, packed, _STALL_SECONDS)


BAD_CLIENTS: dict[str, BadClient] = {
    "crash": crash,
    "stall": stall,
    "cancel": cancel,
    "ignore": ignore_response,
}


async def _send(port: int, part: bytes, seconds: float) -> None:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port, limit=1)
        writer.write(part)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await writer.drain()
        await asyncio.sleep(seconds)
        writer.transport.abort()


async def misbehave(
    port: int, requests: Sequence[Request], rate: float, rng: random.Random, stop: asyncio.Event
) -> Counter[str]:
    """Start `rate` bad clients per second until `stop` is set; return their number by kind."""
    counts = Counter[str]()
    tasks = set[asyncio.Task[None]]()
    packed = [request.pack() for request in requests]
    while not stop.is_set():
        name = rng.choice(list(BAD_CLIENTS))
        counts[name] += 1
        task = asyncio.create_task(BAD_CLIENTS[name](port, rng.choice(packed)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1 / rate):
                await stop.wait()
    await asyncio.gather(*tasks)
    return counts
