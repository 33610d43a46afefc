"""Where work runs: short work on the event loop, the rest on a bounded set of threads."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import OverloadedError
from service.metrics import QUEUE_WAITING

T = TypeVar("T")

INLINE_SECONDS = 0.001
"""Work predicted to be shorter stays on the event loop: a hop to a thread would cost more."""


class Admission:
    """Runs work, or refuses it at once when too much is waiting."""

    def __init__(self, threads: int, queue: int) -> None:
        """Start with nothing in hand.

        Args:
            threads: Pieces of long work that run at the same time.
            queue: Pieces of long work, running or waiting, over which more is refused.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._threads = threads
        self._queue = queue
        self._pending = 0

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Do `work`, which is predicted to take `seconds`, and return its result.

        Raises:
            OverloadedError: the queue is full.
        """
        if seconds <= INLINE_SECONDS:
            return work()
        if self._pending >= self._queue:
            raise OverloadedError(f"{self._queue} requests are waiting already")
        self._count(1)
        # The span that the work belongs to goes with it into the thread.
        begin = contextvars.copy_context().run
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begin, work)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._pending += change
        QUEUE_WAITING.set(max(0, self._pending - self._threads))

    def close(self) -> None:
        """Wait for the work in hand and stop the threads."""
        self._pool.shutdown()
