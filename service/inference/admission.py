"""Where work runs: short work on the event loop, the rest on a bounded set of threads."""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from service.errors import DeadlineExceededError, OverloadedError
from service.observability.metrics import QUEUE_WAITING

T = TypeVar("T")

_UNWATCHED_SECONDS = 0.02
"""How long work waits before anybody looks whether its client is still there."""
INLINE_SECONDS = 0.001
"""Work predicted to be shorter stays on the event loop: a hop to a thread would cost more."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits for work: since when, and how to learn that they have gone."""

    gone: Callable[[], Coroutine[Any, Any, NoReturn]]
    """Raises once nobody waits any more; called only for work that has to queue."""
    since: float = field(default_factory=time.monotonic)
    """Seconds on the clock of `time.monotonic`."""


class Admission:
    """Runs work, or refuses it at once when too much is waiting."""

    def __init__(self, threads: int, queue: int, patience: float = 30.0) -> None:
        """Start with nothing in hand.

        Args:
            threads: Pieces of long work that run at the same time.
            queue: Pieces of long work, running or waiting, over which more is refused.
            patience: Seconds after which work that still waits is not begun any more.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._threads = threads
        self._queue = queue
        self._patience = patience
        self._pending = 0

    def start(self) -> None:
        """Start the threads now: under load the system may have none to give.

        Where it has none even now, they are started when there is work for them.
        """
        together = threading.Barrier(self._threads)
        try:
            started = [self._pool.submit(together.wait) for _ in range(self._threads)]
        except RuntimeError:
            together.abort()
            return
        for thread in started:
            thread.result()

    async def run(self, work: Callable[[], T], seconds: float, waiter: Waiter | None = None) -> T:
        """Do `work`, which is predicted to take `seconds`, and return its result.

        Work that a thread has begun is finished, whoever has gone.

        Raises:
            OverloadedError: the queue is full, or the system has no thread to give.
            DeadlineExceededError: no thread was free in time.
            Exception: what the work or `waiter.gone` raised.
        """
        if seconds <= INLINE_SECONDS:
            return work()
        self.check()
        job = _Job(work, self._release)
        try:
            job.start(self._pool)
        except RuntimeError as error:
            raise OverloadedError("the system has no thread to give") from error
        self._count(1)  # not before: what could not be handed over is never released
        try:
            with contextlib.ExitStack() as stack:
                if waiter is not None:
                    self._watch(job, waiter, stack)
                await job.ended
                return job.result()
        finally:
            job.drop(None)
            del job  # an error's traceback holds this frame, and the job may hold the error

    def check(self) -> None:
        """Raise OverloadedError where the queue is full."""
        if self.is_full:
            raise self.refuse()

    @property
    def is_full(self) -> bool:
        """Whether there is no place in the queue."""
        return self._pending >= self._queue

    def refuse(self) -> OverloadedError:
        """Return what is told to those who find no place."""
        return OverloadedError(f"{self._queue} requests are waiting already")

    def _watch(self, job: "_Job[T]", waiter: Waiter, stack: contextlib.ExitStack) -> None:
        """Drop the job at its deadline, or when its waiter goes; the stack ends the watch.

        Most jobs are done before it would pay to look whether anybody still waits for them.
        """
        loop = asyncio.get_running_loop()
        late = DeadlineExceededError(f"no thread was free within {self._patience:g} seconds")
        left = waiter.since + self._patience - time.monotonic()
        stack.callback(loop.call_later(left, job.drop, late).cancel)

        def leave(task: asyncio.Task[NoReturn]) -> None:
            if not task.cancelled():
                job.drop(task.exception())

        def look() -> None:
            watch = loop.create_task(waiter.gone())
            stack.callback(watch.cancel)
            watch.add_done_callback(leave)

        stack.callback(loop.call_later(_UNWATCHED_SECONDS, look).cancel)

    def _release(self) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        self._pending += change
        QUEUE_WAITING.set(max(0, self._pending - self._threads))

    def close(self) -> None:
        """Wait for the work in hand and stop the threads."""
        self._pool.shutdown()


class _Job(Generic[T]):
    """Work on its way to a thread. Its place in the queue is free when the thread has ended it."""

    def __init__(self, work: Callable[[], T], release: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: Callable[[], T] | None = work
        self._release = release
        self._handed: Future[T]
        self._error: BaseException | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Hand the work to a thread, with the span that it belongs to."""
        self._handed = pool.submit(contextvars.copy_context().run, self._do)
        self._handed.add_done_callback(self._tell)

    def drop(self, error: BaseException | None) -> None:
        """End the wait with an error, if there is one, unless a thread has begun the work."""
        if not self._handed.cancel():
            return
        self._work = None  # the pool holds what was dropped until its turn comes
        if error is not None and not self.ended.done():
            self._error = error
            self.ended.set_result(None)

    def result(self) -> T:
        """Return or raise what ended the wait; to be asked once."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._handed.result()
        finally:
            del error

    def _do(self) -> T:
        assert self._work is not None  # noqa: S101 - what was dropped is not begun
        return self._work()

    def _tell(self, _: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._release()
        if not self.ended.done():
            self.ended.set_result(None)
