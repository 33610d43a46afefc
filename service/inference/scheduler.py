"""Runs the work of all requests: short work on the event loop, the rest on a pool of threads.

Short work that arrives in one turn of the event loop runs together at the end of that turn. Longer
work waits in one fair queue; a thread that becomes free takes the next item and, with it, its
share of the items that start with the same network (dynamic batching). Nothing is delayed to wait
for others. When the queue is full, new work is rejected.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol, TypeVar

from service.errors import DeadlineExceededError, OverloadedError
from service.inference.batching import Work, run_together
from service.inference.fair_queue import FairQueue
from service.inference.operations import Steps
from service.inference.yielding import yielding_to
from service.observability.metrics import QUEUE_WAITING

T = TypeVar("T")

INLINE_SECONDS = 0.001
"""Work with a lower predicted cost runs on the event loop: a thread switch would cost more."""
_TURN_SECONDS = 0.02
"""Predicted cost of the work that runs in one turn of the event loop; the rest waits a turn."""
_UNWATCHED_SECONDS = 0.02
"""How long work waits before the client's connection is watched; most work ends earlier."""
_MAX_BATCH_SECONDS = 0.05
"""Predicted cost of a batch on a thread, since every request in it waits for all of it.
A network of 33 MB took 4.1 ms per image alone, 2.5 in batches of 8, 2.4 in batches of 16 (one CPU).
"""
_MAX_BATCH_IMAGES = 64
"""Images in such a batch: larger ones gain nothing and are all in memory at once."""


_NICENESS = 10
"""Of the threads beside the event loop's (Linux). Clients that kept both of two CPUs busy delayed
`/livez` by 127 ms at equal priority and by 52 ms so (means of three runs)."""


class Requester(Protocol):
    """The request that work belongs to."""

    @property
    def client(self) -> str:
        """Identifies the client: the name of its API key, or its address."""

    @property
    def waiting_since(self) -> float:
        """When its body was complete, on the clock of `time.perf_counter`."""

    def wait_for_disconnect(self) -> Coroutine[Any, Any, NoReturn]:
        """Raise an exception as soon as the client has disconnected."""


class Scheduler:
    """Runs work, or rejects it at once when too much is waiting. Used from one event loop."""

    def __init__(self, threads: int, max_queue: int, max_wait: float = 30.0) -> None:
        """Create a scheduler; `start` starts its threads.

        Args:
            threads: Items of long work, or batches of them, that run at the same time.
            max_queue: Items of long work, running or waiting, above which more is rejected.
            max_wait: Seconds after which work that still waits is rejected.
        """
        self._pool = ThreadPoolExecutor(threads, "inference", _lower_priority)
        self._threads = threads
        self._max_queue = max_queue
        self._max_wait = max_wait
        self._pending = 0
        self._turn: deque[Work[Any]] = deque()
        self._futures: dict[Work[Any], asyncio.Future[Any]] = {}
        self._lock = threading.Lock()
        """Guards the queue, which the event loop and the threads change."""
        self._queue = FairQueue()

    def start(self) -> None:
        """Start all threads now: under load the system may have none left.

        If the system refuses threads even now, they start with the first work.
        """
        barrier = threading.Barrier(self._threads)
        try:
            started = [self._pool.submit(barrier.wait) for _ in range(self._threads)]
        except RuntimeError:
            barrier.abort()
            return
        for thread in started:
            thread.result()

    def close(self) -> None:
        """Finish all work and stop the threads."""
        self._pool.shutdown()

    @property
    def is_full(self) -> bool:
        """Whether long work is rejected at the moment."""
        return self._pending >= self._max_queue

    def check_capacity(self) -> None:
        """Raise OverloadedError if long work is rejected at the moment."""
        if self.is_full:
            raise OverloadedError(f"{self._max_queue} requests are pending (LATENTD_MAX_QUEUE)")

    async def call(
        self, function: Callable[[], T], cost: float, requester: Requester | None = None
    ) -> T:
        """Call a function that runs no network; see `run`."""
        if cost <= INLINE_SECONDS:
            return function()
        return await self.run(Work(_to_steps(function), cost), requester)

    async def run(self, work: Work[T], requester: Requester | None = None) -> T:
        """Run work and return its result.

        Work that has started is finished, even after its deadline or its client's disconnect.

        Args:
            work: The work, not started.
            requester: Its request; None for work without deadline and client.

        Raises:
            OverloadedError: the queue is full, or the system refuses another thread.
            DeadlineExceededError: the work did not start in time.
            Exception: any exception of the work or of `requester.wait_for_disconnect`.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            if work.cost <= INLINE_SECONDS:
                self._add_to_turn(work, future)
                return await future
            with contextlib.ExitStack() as stack:
                if requester is not None:
                    work.client = requester.client
                self._enqueue(work, future)
                stack.callback(self._withdraw, work)
                if requester is not None:
                    self._watch(work, requester, stack)
                return await future
        finally:
            del future  # an exception's traceback holds this frame, and the future the exception

    def _add_to_turn(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        if not self._turn:
            future.get_loop().call_soon(self._run_turn)
        self._turn.append(work)
        self._futures[work] = future

    def _run_turn(self) -> None:
        """Run the short work of this turn together, up to a bound on its cost."""
        items: list[Work[Any]] = []
        cost = 0.0
        while self._turn and cost < _TURN_SECONDS:
            work = self._turn.popleft()
            if self._futures[work].done():  # cancelled
                del self._futures[work]
            else:
                items.append(work)
                cost += work.cost
        if self._turn:
            asyncio.get_running_loop().call_soon(self._run_turn)
        run_together(items)
        self._deliver(items)

    def _enqueue(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.check_capacity()
        with self._lock:
            self._queue.push(work)
        try:
            self._pool.submit(self._run_queued, future.get_loop())
        except RuntimeError as error:
            with self._lock:
                self._queue.discard(work)
            raise OverloadedError("the system has no thread left") from error
        self._futures[work] = future
        self._count(1)

    def _run_queued(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the next batch of the queue; a thread of the pool calls this once per queued item."""
        with self._lock:
            items = self._take_batch()
        if not items:  # an earlier batch contained them, or they were withdrawn
            return
        try:
            with yielding_to(loop):
                run_together(items)
        except Exception as error:  # noqa: BLE001 - raised where the results are awaited
            for work in items:
                work.error = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: no request waits any more
            loop.call_soon_threadsafe(self._finish, items)

    def _take_batch(self) -> list[Work[Any]]:
        """Remove the next item from the queue and its share of those with the same network."""
        first = self._queue.pop()
        if first is None:
            return []
        batch = [first]
        if first.network is not None:
            key = (first.model, first.network)
            same = [work for work in self._queue if (work.model, work.network) == key]
            share = -(-(1 + len(same)) // self._threads)
            images, seconds = first.images, first.cost
            for work in same[: share - 1]:
                images += work.images
                seconds += work.cost
                if images > _MAX_BATCH_IMAGES or seconds > _MAX_BATCH_SECONDS:
                    break
                self._queue.discard(work)
                batch.append(work)
        return batch

    def _finish(self, items: Sequence[Work[Any]]) -> None:
        self._count(-len(items))
        self._deliver(items)

    def _deliver(self, items: Sequence[Work[Any]]) -> None:
        """Resolve the futures of work that has ended, and drop its references."""
        for work in items:
            future = self._futures.pop(work)
            if not future.done():
                if work.error is None:
                    future.set_result(work.result)
                else:
                    future.set_exception(work.error)
            work.result = work.error = None

    def _watch(self, work: Work[Any], requester: Requester, stack: contextlib.ExitStack) -> None:
        """Reject waiting work at its deadline or when its client disconnects."""
        loop = asyncio.get_running_loop()

        def expire() -> None:
            late = DeadlineExceededError(f"no thread was free within {self._max_wait:g} seconds")
            self._reject(work, late)

        def watch_client() -> None:
            task = loop.create_task(requester.wait_for_disconnect())
            stack.callback(task.cancel)
            task.add_done_callback(leave)

        def leave(task: asyncio.Task[NoReturn]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._reject(work, error)

        left = requester.waiting_since + self._max_wait - time.perf_counter()
        stack.callback(loop.call_later(left, expire).cancel)
        stack.callback(loop.call_later(_UNWATCHED_SECONDS, watch_client).cancel)

    def _reject(self, work: Work[Any], error: BaseException) -> None:
        """End the wait for work that has not started."""
        future = self._futures.get(work)
        if self._withdraw(work) and future is not None and not future.done():
            future.set_exception(error)

    def _withdraw(self, work: Work[Any]) -> bool:
        """Remove work from the queue if it has not started; return whether it was removed."""
        if work not in self._futures:
            return False
        with self._lock:
            is_removed = self._queue.discard(work)
        if is_removed:
            del self._futures[work]
            self._count(-1)
        return is_removed

    def _count(self, change: int) -> None:
        self._pending += change
        QUEUE_WAITING.set(len(self._queue))


def _to_steps(function: Callable[[], T]) -> Steps[T]:
    """Return an operation that calls a function and runs no network."""
    return function()
    yield


def _lower_priority() -> None:
    """Let the operating system prefer the event loop to this thread."""
    if sys.platform == "linux":  # elsewhere a priority is that of the whole process
        with contextlib.suppress(OSError):
            os.nice(_NICENESS)
