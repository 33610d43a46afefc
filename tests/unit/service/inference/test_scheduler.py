"""The scheduler: short work on the event loop, long work on threads, the rest rejected."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np
import pytest

from service.errors import DeadlineExceededError, InferenceError, OverloadedError
from service.inference import operations, scheduler
from service.inference.batching import Work
from service.inference.model import Model
from service.inference.scheduler import INLINE_SECONDS, Scheduler
from service.runtimes import Floats
from tests.support.fakes import LATENT_SIZE

LONG = 2 * INLINE_SECONDS


class DisconnectedError(Exception):
    """Raised when the fake client disconnects."""


class Requester:
    """A request of a client that can disconnect."""

    def __init__(self, client: str = "one") -> None:
        """Stay connected."""
        self.client = client
        self.waiting_since = time.perf_counter()
        self.disconnected = asyncio.Event()
        self.watched = 0

    async def wait_for_disconnect(self) -> NoReturn:
        """Raise DisconnectedError after `disconnected` is set."""
        self.watched += 1
        await self.disconnected.wait()
        raise DisconnectedError


class Blocker:
    """A function that occupies a thread until its gate opens."""

    def __init__(self) -> None:
        """Close the gate."""
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()

    def __call__(self) -> str:
        """Wait for the gate."""
        self.started.release()
        self.gate.wait(10)
        return "done"

    async def occupy(
        self, target: Scheduler, requester: Requester | None = None
    ) -> "asyncio.Task[str]":
        """Start on a thread of the scheduler."""
        task = asyncio.ensure_future(target.call(self, LONG, requester))
        await asyncio.to_thread(self.started.acquire)
        return task


@pytest.fixture
def pair() -> Iterator[Scheduler]:
    """A scheduler with two threads and a queue of three."""
    made = Scheduler(threads=2, max_queue=3)
    yield made
    made.close()


@pytest.fixture
def single() -> Iterator[Scheduler]:
    """A scheduler with one thread, a queue of two and a short deadline."""
    made = Scheduler(threads=1, max_queue=2, max_wait=0.05)
    yield made
    made.close()


@pytest.fixture
def batching() -> Iterator[Scheduler]:
    """A scheduler with one thread and a long queue."""
    made = Scheduler(threads=1, max_queue=64)
    yield made
    made.close()


@pytest.fixture
def runs(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The network runs from now on, as network and batch size."""
    seen: list[tuple[str, int]] = []
    for name, network in model.networks.items():

        def record(batch: Floats, name: str = name, run=network.run) -> list[Floats]:  # noqa: ANN001 - a method
            seen.append((name, len(batch)))
            return run(batch)

        monkeypatch.setattr(network, "run", record)
    return seen


def decode(model: Model, *levels: float, cost: float = LONG) -> Work[Floats]:
    """Return work that decodes latents into images of these levels."""
    latents = np.repeat(np.array(levels, np.float32)[:, None], LATENT_SIZE, axis=1)
    steps = operations.decode(latents, "autoencoder")
    return Work(steps, cost, model, "decoder", len(levels))


def read_levels(images: Floats) -> list[float]:
    """Return the level of each image."""
    levels: list[float] = images[:, 0, 0, 0].tolist()
    return levels


def fail() -> None:
    """Fail as an operation does."""
    raise InferenceError("it failed")


@pytest.mark.parametrize(("cost", "inline"), [(0, True), (INLINE_SECONDS, True), (LONG, False)])
def test_long_work_runs_on_a_thread(pair: Scheduler, cost: float, inline: bool) -> None:
    """Only work with a low predicted cost runs on the event loop's thread."""
    thread = asyncio.run(pair.call(threading.current_thread, cost))

    assert (thread is threading.current_thread()) == inline


@pytest.mark.parametrize("cost", [0, LONG])
def test_result_is_returned(pair: Scheduler, cost: float) -> None:
    """A call returns the function's result."""
    assert asyncio.run(pair.call(lambda: 42, cost)) == 42


def test_full_queue_rejects_long_work_only(pair: Scheduler) -> None:
    """Long work beyond the queue is rejected at once; short work and earlier work are not."""
    gate = threading.Event()

    async def overload() -> list[object]:
        held = [asyncio.ensure_future(pair.call(gate.wait, LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="3 requests"):
            await pair.call(gate.wait, LONG)
        short = await pair.call(lambda: "short", 0)
        gate.set()
        return [short, *await asyncio.gather(*held)]

    assert asyncio.run(overload()) == ["short", True, True, True]


@pytest.mark.parametrize("cost", [0, LONG])
def test_failed_work_frees_its_place(pair: Scheduler, cost: float) -> None:
    """Failed work raises its error to its caller and leaves the queue."""

    async def fail_often() -> int:
        for _ in range(10):
            with pytest.raises(InferenceError):
                await pair.call(fail, cost)
        return await pair.call(lambda: 42, cost)

    assert asyncio.run(fail_often()) == 42


def test_rejected_work_takes_no_place(pair: Scheduler) -> None:
    """The queue has the same capacity after many rejections."""
    gate = threading.Event()

    async def reject_often() -> int:
        held = [asyncio.ensure_future(pair.call(gate.wait, LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in range(10):
            with contextlib.suppress(OverloadedError):
                await pair.call(gate.wait, LONG)
        gate.set()
        await asyncio.gather(*held)
        return sum(await asyncio.gather(*(pair.call(lambda: 1, LONG) for _ in range(3))))

    assert asyncio.run(reject_often()) == 3


def test_close_finishes_accepted_work() -> None:
    """Accepted work is finished before the threads stop."""
    closing = Scheduler(threads=1, max_queue=3)
    done: list[int] = []

    async def run() -> None:
        work = [asyncio.ensure_future(closing.call(lambda: done.append(1), LONG)) for _ in "abc"]
        await asyncio.gather(*work)

    asyncio.run(run())
    closing.close()

    assert done == [1, 1, 1]


def test_work_past_its_deadline_does_not_start(single: Scheduler) -> None:
    """Work that waits until its deadline is rejected, never runs, and leaves the queue."""
    done: list[int] = []

    async def wait() -> str:
        blocker = Blocker()
        held = await blocker.occupy(single)
        for _ in range(5):
            with pytest.raises(DeadlineExceededError, match=r"0\.05 seconds"):
                await single.call(lambda: done.append(1), LONG, Requester())
            await asyncio.sleep(0)
        blocker.gate.set()
        return await held

    assert asyncio.run(wait()) == "done"
    assert done == []


def test_started_work_finishes_after_its_deadline(single: Scheduler) -> None:
    """The deadline limits the wait for a thread, not the work."""

    async def wait() -> str:
        blocker = Blocker()
        held = await blocker.occupy(single, Requester())
        await asyncio.sleep(0.1)
        blocker.gate.set()
        return await held

    assert asyncio.run(wait()) == "done"


def test_waiting_work_is_cancelled_on_disconnect(pair: Scheduler) -> None:
    """Waiting work of a disconnected client does not run, and leaves the queue at once."""
    done: list[int] = []

    async def leave() -> list[object]:
        blocker, requester = Blocker(), Requester()
        held = [await blocker.occupy(pair), await blocker.occupy(pair)]
        for _ in range(5):
            waiting = asyncio.ensure_future(pair.call(lambda: done.append(1), LONG, requester))
            await asyncio.sleep(0)
            requester.disconnected.set()
            with pytest.raises(DisconnectedError):
                await waiting
            await asyncio.sleep(0)
        blocker.gate.set()
        return await asyncio.gather(*held)

    assert asyncio.run(leave()) == ["done", "done"]
    assert done == []


def test_cancelled_work_is_released(single: Scheduler) -> None:
    """Nothing refers to cancelled work, even while the threads are busy."""

    async def leave() -> object:
        blocker, requester = Blocker(), Requester()
        held = await blocker.occupy(single)
        body = threading.Event()
        reference = weakref.ref(body)
        requester.disconnected.set()
        with pytest.raises(DisconnectedError):
            await single.call(body.set, LONG, requester)
        del body
        await asyncio.sleep(0)
        left = reference()
        blocker.gate.set()
        await held
        return left

    assert asyncio.run(leave()) is None


@pytest.mark.parametrize("cost", [0.0, LONG])
@pytest.mark.parametrize("fails", [False, True])
def test_finished_work_is_released_without_the_collector(
    single: Scheduler, cost: float, fails: bool
) -> None:
    """After the result nothing refers to the work, its input or its result: no cycles."""

    class Content:
        """An input or a result."""

    async def run() -> list[object]:
        content = Content()
        kept = [weakref.ref(content)]

        def handle(body: Content = content) -> Content:
            if fails:
                raise InferenceError("it failed")
            result = Content()
            kept.append(weakref.ref(result))
            assert body is not result
            return result

        steps = scheduler._to_steps(handle)
        work = Work(steps, cost)
        kept.append(weakref.ref(steps))
        del content, handle, steps
        with contextlib.suppress(InferenceError):
            await single.run(work, Requester())
        del work
        await asyncio.sleep(0.01)  # the thread returns
        return [reference() for reference in kept]

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run()) == [None] * (2 if fails else 3)
    finally:
        gc.enable()


def test_cancelled_task_occupies_its_thread_until_it_ends(single: Scheduler) -> None:
    """Running work counts although its task was cancelled; afterwards there is room again."""

    async def cancel() -> int:
        blocker = Blocker()
        held = [await blocker.occupy(single), asyncio.ensure_future(single.call(blocker, LONG))]
        await asyncio.sleep(0)
        for task in held:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(single.call(lambda: 1, LONG))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            single.check_capacity()
        blocker.gate.set()
        first = await waiting
        return first + sum(await asyncio.gather(*(single.call(lambda: 1, LONG) for _ in "ab")))

    assert asyncio.run(cancel()) == 3


@pytest.mark.parametrize(("function", "expected"), [(lambda: 42, 42), (fail, InferenceError)])
def test_short_work_is_not_watched(
    pair: Scheduler, function: Callable[[], object], expected: object
) -> None:
    """Short work does not pay for deadlines and disconnects."""

    async def run() -> tuple[object, int]:
        requester = Requester()
        try:
            return await pair.call(function, 0, requester), requester.watched
        except InferenceError:
            return InferenceError, requester.watched

    assert asyncio.run(run()) == (expected, 0)


def test_all_threads_exist_after_start() -> None:
    """After `start`, long work needs no thread that the system may not have."""
    started = Scheduler(threads=3, max_queue=3)
    before = threading.active_count()

    started.start()
    count = threading.active_count() - before
    started.close()

    assert count == 3
    assert threading.active_count() == before


def test_missing_thread_rejects_work() -> None:
    """Work that no thread can take is rejected, and leaves the queue."""
    closed = Scheduler(threads=1, max_queue=1)
    closed.close()

    for _ in range(2):
        with pytest.raises(OverloadedError, match="no thread left"):
            asyncio.run(closed.call(lambda: None, LONG))

    assert not closed.is_full


def test_short_runs_of_a_turn_are_joined(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """Short requests of one turn of the event loop share one run; each has its own images."""
    levels = [(0.1,), (0.2, 0.3), (0.4,)]

    async def ask() -> list[Floats]:
        return await asyncio.gather(
            *(batching.run(decode(model, *given, cost=0)) for given in levels)
        )

    results = asyncio.run(ask())

    assert runs == [("decoder", 4)]
    for given, images in zip(levels, results, strict=True):
        assert read_levels(images) == pytest.approx(given)


def test_turns_are_separate(batching: Scheduler, model: Model, runs: list[tuple[str, int]]) -> None:
    """A request of a later turn is not joined, and does not wait."""

    async def ask() -> None:
        await batching.run(decode(model, 0.5, cost=0))
        await batching.run(decode(model, 0.5, cost=0))

    asyncio.run(ask())

    assert runs == [("decoder", 1)] * 2


def test_a_turn_is_bounded_by_its_cost(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """Short work beyond 20 ms runs in the next turn, so that other events are handled."""

    async def ask() -> list[Floats]:
        work = (decode(model, 0.5, cost=INLINE_SECONDS) for _ in range(50))
        return await asyncio.gather(*(batching.run(each) for each in work))

    assert [read_levels(images) for images in asyncio.run(ask())] == [[0.5]] * 50
    assert [count for _, count in runs] == [20, 20, 10]


def test_cancelled_short_work_does_not_run(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """Short work that is cancelled before the end of its turn does not run."""

    async def ask() -> Floats:
        cancelled, kept = (
            asyncio.ensure_future(batching.run(decode(model, level, cost=0)))
            for level in (0.25, 0.75)
        )
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        return await kept

    assert read_levels(asyncio.run(ask())) == [0.75]
    assert runs == [("decoder", 1)]


async def run_behind_a_blocker(
    target: Scheduler, works: list[Work[Floats]], *, threads: int = 1
) -> list[list[float] | BaseException]:
    """Queue work while all threads are busy, free them, and return the levels or errors."""
    blocker = Blocker()
    held = [await blocker.occupy(target) for _ in range(threads)]
    waiting = [asyncio.ensure_future(target.run(work)) for work in works]
    await asyncio.sleep(0)
    blocker.gate.set()
    await asyncio.gather(*held)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    return [
        result if isinstance(result, BaseException) else read_levels(result) for result in results
    ]


def test_waiting_runs_are_joined(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """The only thread runs all waiting work of a network at once; each has its own images."""
    levels = [[0.25], [0.5, 0.75], [1.0]]
    works = [decode(model, *given) for given in levels]

    assert asyncio.run(run_behind_a_blocker(batching, works)) == levels
    assert runs == [("decoder", 4)]


def test_threads_share_the_queue(model: Model, runs: list[tuple[str, int]]) -> None:
    """A thread takes its share of the waiting work and leaves the rest to the other thread."""
    two = Scheduler(threads=2, max_queue=64)
    works = [decode(model, level) for level in (0.25, 0.5, 0.75, 1.0)]

    results = asyncio.run(run_behind_a_blocker(two, works, threads=2))
    two.close()

    assert results == [[0.25], [0.5], [0.75], [1.0]]
    assert max(count for _, count in runs) <= 2


def test_batches_are_bounded_by_their_cost(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """Two runs of 30 ms are not joined, since each would wait for both."""
    works = [decode(model, level, cost=0.03) for level in (0.25, 0.5)]

    assert asyncio.run(run_behind_a_blocker(batching, works)) == [[0.25], [0.5]]
    assert runs == [("decoder", 1)] * 2


def test_batches_are_bounded_by_their_images(
    batching: Scheduler, model: Model, runs: list[tuple[str, int]]
) -> None:
    """Large requests are not joined: they gain nothing and would be in memory together."""
    levels = [[0.25] * 40, [0.5] * 40, [0.75] * 100]
    works = [decode(model, *given) for given in levels]

    assert asyncio.run(run_behind_a_blocker(batching, works)) == levels
    assert [count for _, count in runs] == [40, 40, 100]


def test_unexpected_errors_reach_all_callers(
    batching: Scheduler, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error around the runs themselves ends every request of the batch."""

    def run_out_of_memory(_: object) -> None:
        raise MemoryError

    blocked_steps = scheduler.run_together
    monkeypatch.setattr(
        scheduler,
        "run_together",
        lambda items: blocked_steps(items) if items[0].model is None else run_out_of_memory(items),
    )

    results = asyncio.run(run_behind_a_blocker(batching, [decode(model, 0.25), decode(model, 0.5)]))

    assert [type(result) for result in results] == [MemoryError] * 2


def test_clients_share_the_threads(batching: Scheduler) -> None:
    """A client with one request overtakes the backlog of another client."""
    order: list[str] = []

    async def compete() -> None:
        blocker = Blocker()
        held = await blocker.occupy(batching, Requester("greedy"))
        requesters = [Requester("greedy") for _ in range(10)] + [Requester("polite")]
        waiting = [
            asyncio.ensure_future(
                batching.call(lambda name=each.client: order.append(name), LONG, each)
            )
            for each in requesters
        ]
        await asyncio.sleep(0)
        blocker.gate.set()
        await asyncio.gather(held, *waiting)

    asyncio.run(compete())

    assert order.index("polite") <= 1
    assert len(order) == 11


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_the_event_loop_precedes_threads() -> None:
    """Work on a thread has a lower priority than the event loop, which is unchanged."""

    async def compare() -> tuple[int, int]:
        other = await opened.call(lambda: os.getpriority(os.PRIO_PROCESS, 0), LONG)
        return os.getpriority(os.PRIO_PROCESS, 0), other

    before = os.getpriority(os.PRIO_PROCESS, 0)
    opened = Scheduler(threads=1, max_queue=2)
    opened.start()
    loop, thread = asyncio.run(compare())
    opened.close()

    assert loop == before
    assert thread > loop or thread == 19  # the lowest priority
