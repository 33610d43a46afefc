"""Cooperative yielding: long work on a thread lets the event loop run between its parts.

Threads share the interpreter's lock, and the event loop acquires it again for each event. While
threads run Python code, each of these acquisitions takes up to the switch interval or a whole call
of a C function: with fifty open connections one turn of the loop then takes a tenth of a second.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

_PART_SECONDS = 0.002
"""Work between two turns: a turn of an idle loop takes about a twentieth of it."""
_MAX_WAIT_SECONDS = 0.05
"""Longest wait for a turn, so that a loop that is always busy does not stop the work."""
_local = threading.local()


@contextlib.contextmanager
def yielding_to(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make `yield_to_loop` wait for a loop, in this thread and until the end of the block."""
    _local.loop, _local.resumed = loop, time.perf_counter()
    try:
        yield
    finally:
        _local.loop = None


def yield_to_loop() -> None:
    """Wait for the next turn of the event loop, if this thread has worked for a while.

    Called between the parts of long work. Does nothing on the event loop itself.
    """
    loop: asyncio.AbstractEventLoop | None = getattr(_local, "loop", None)
    if loop is None or time.perf_counter() - _local.resumed < _PART_SECONDS:
        return
    turn = threading.Event()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(turn.set)
        turn.wait(_MAX_WAIT_SECONDS)
    _local.resumed = time.perf_counter()
