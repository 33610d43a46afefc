"""Admission: short work stays, long work goes to a thread, too much is refused."""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from service.errors import DeadlineExceededError, InferenceError, OverloadedError
from service.inference.admission import INLINE_SECONDS, Admission, Waiter

LONG = 2 * INLINE_SECONDS


class GoneError(Exception):
    """What a waiter raises that goes."""


class Client:
    """Waits for a result until it goes."""

    def __init__(self) -> None:
        """Stay."""
        self.left = asyncio.Event()
        self.watched = 0

    def wait(self) -> Waiter:
        """Return this client as a waiter."""
        return Waiter(self._leave)

    async def _leave(self) -> NoReturn:
        self.watched += 1
        await self.left.wait()
        raise GoneError


class Clog:
    """Work that takes a thread until it is let go."""

    def __init__(self) -> None:
        """Be ready to be run."""
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def __call__(self) -> str:
        """Wait at the gate."""
        self.begun.release()
        self.gate.wait(10)
        return "done"

    async def take(self, admission: Admission, waiter: Waiter | None = None) -> "asyncio.Task[str]":
        """Be run on a thread of an admission; return once it is."""
        task = asyncio.ensure_future(admission.run(self, LONG, waiter))
        await asyncio.to_thread(self.begun.acquire)
        return task


@pytest.fixture
def admission() -> Iterator[Admission]:
    """Two threads and room for three."""
    made = Admission(threads=2, queue=3)
    yield made
    made.close()


def fail() -> None:
    """Fail as an operation does."""
    raise InferenceError("it failed")


@pytest.mark.parametrize(("seconds", "inline"), [(0, True), (INLINE_SECONDS, True), (LONG, False)])
def test_long_work_leaves_the_event_loop(
    admission: Admission, seconds: float, inline: bool
) -> None:
    """Only work that is predicted to be short runs on the event loop's own thread."""
    thread = asyncio.run(admission.run(threading.current_thread, seconds))

    assert (thread is threading.current_thread()) == inline


@pytest.mark.parametrize("seconds", [0, LONG])
def test_results_come_back(admission: Admission, seconds: float) -> None:
    """What the work returns is returned."""
    assert asyncio.run(admission.run(lambda: 42, seconds)) == 42


def test_too_much_is_refused_at_once(admission: Admission) -> None:
    """Over the queue's length work is refused while the rest is done; short work never is."""
    gate = threading.Event()

    async def overload() -> list[object]:
        held = [asyncio.ensure_future(admission.run(gate.wait, LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="3 requests"):
            await admission.run(gate.wait, LONG)
        short = await admission.run(lambda: "short", 0)
        gate.set()
        return [short, *await asyncio.gather(*held)]

    assert asyncio.run(overload()) == ["short", True, True, True]


@pytest.mark.parametrize("seconds", [0, LONG])
def test_failures_make_room_again(admission: Admission, seconds: float) -> None:
    """Work that fails is raised to who asked for it, and holds no place."""

    async def fail_often() -> int:
        for _ in range(10):
            with pytest.raises(InferenceError):
                await admission.run(fail, seconds)
        return await admission.run(lambda: 42, seconds)

    assert asyncio.run(fail_often()) == 42


def test_refusals_hold_no_place(admission: Admission) -> None:
    """After many refusals there is as much room as before."""
    gate = threading.Event()

    async def refuse_often() -> int:
        held = [asyncio.ensure_future(admission.run(gate.wait, LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in range(10):
            with contextlib.suppress(OverloadedError):
                await admission.run(gate.wait, LONG)
        gate.set()
        await asyncio.gather(*held)
        return sum(await asyncio.gather(*(admission.run(lambda: 1, LONG) for _ in range(3))))

    assert asyncio.run(refuse_often()) == 3


def test_closing_waits_for_the_work_in_hand() -> None:
    """Work that was taken in is done before the threads stop."""
    admission = Admission(threads=1, queue=3)
    done = []

    async def run() -> None:
        work = [asyncio.ensure_future(admission.run(lambda: done.append(1), LONG)) for _ in "abc"]
        await asyncio.gather(*work)

    asyncio.run(run())
    admission.close()

    assert done == [1, 1, 1]


@pytest.fixture
def single() -> Iterator[Admission]:
    """One thread, room for two, and little patience."""
    made = Admission(threads=1, queue=2, patience=0.05)
    yield made
    made.close()


def test_work_that_waited_too_long_is_not_begun(single: Admission) -> None:
    """At its deadline queued work ends with an error; it is never done, and leaves its place."""
    done: list[int] = []

    async def wait() -> str:
        clog = Clog()
        held = await clog.take(single)
        for _ in range(5):
            with pytest.raises(DeadlineExceededError, match=r"0\.05 seconds"):
                await single.run(lambda: done.append(1), LONG, Client().wait())
            await asyncio.sleep(0)
        clog.gate.set()
        return await held

    assert asyncio.run(wait()) == "done"
    assert done == []


def test_work_that_runs_is_finished_after_its_deadline(single: Admission) -> None:
    """A deadline ends the wait for a thread, not the work."""

    async def wait() -> str:
        clog = Clog()
        held = await clog.take(single, Client().wait())
        await asyncio.sleep(0.1)
        clog.gate.set()
        return await held

    assert asyncio.run(wait()) == "done"


def test_work_of_a_client_that_has_gone_is_skipped(admission: Admission) -> None:
    """Queued work is not done when its client goes; its place is free at once."""
    done: list[int] = []

    async def leave() -> list[object]:
        clog, client = Clog(), Client()
        held = [await clog.take(admission), await clog.take(admission)]
        for _ in range(5):
            queued = asyncio.ensure_future(
                admission.run(lambda: done.append(1), LONG, client.wait())
            )
            await asyncio.sleep(0)
            client.left.set()
            with pytest.raises(GoneError):
                await queued
            await asyncio.sleep(0)
        clog.gate.set()
        return await asyncio.gather(*held)

    assert asyncio.run(leave()) == ["done", "done"]
    assert done == []


def test_work_that_was_dropped_is_let_go(single: Admission) -> None:
    """Nothing holds what the work would have used, while the threads are still taken."""

    async def leave() -> object:
        clog, client = Clog(), Client()
        held = await clog.take(single)
        upload = threading.Event()
        kept = weakref.ref(upload)
        client.left.set()
        with pytest.raises(GoneError):
            await single.run(upload.set, LONG, client.wait())
        del upload
        await asyncio.sleep(0)
        left = kept()
        clog.gate.set()
        await held
        return left

    assert asyncio.run(leave()) is None


def test_work_of_a_cancelled_task_keeps_its_place_until_it_ends(single: Admission) -> None:
    """A thread that still works counts, though nobody waits for it; afterwards there is room."""

    async def cancel() -> int:
        clog = Clog()
        held = [await clog.take(single), asyncio.ensure_future(single.run(clog, LONG))]
        await asyncio.sleep(0)
        for task in held:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)
        queued = asyncio.ensure_future(single.run(lambda: 1, LONG))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            single.check()
        clog.gate.set()
        first = await queued
        return first + sum(await asyncio.gather(*(single.run(lambda: 1, LONG) for _ in "ab")))

    assert asyncio.run(cancel()) == 3


@pytest.mark.parametrize(("work", "expected"), [(lambda: 42, 42), (fail, InferenceError)])
def test_short_work_watches_nobody(
    admission: Admission, work: Callable[[], object], expected: object
) -> None:
    """Work on the event loop pays nothing for deadlines and clients that may go."""
    client = Client()

    async def run() -> object:
        try:
            return await admission.run(work, 0, client.wait())
        except InferenceError:
            return InferenceError

    assert asyncio.run(run()) == expected
    assert client.watched == 0


def test_every_thread_is_there_from_the_start() -> None:
    """Once started, long work needs no thread that the system might not have."""
    admission = Admission(threads=3, queue=3)
    before = threading.active_count()

    admission.start()
    started = threading.active_count() - before
    admission.close()

    assert started == 3
    assert threading.active_count() == before


def test_work_that_no_thread_takes_holds_no_place() -> None:
    """Where work cannot be handed to a thread it is refused, and its place stays free."""
    admission = Admission(threads=1, queue=1)
    admission.close()

    for _ in range(2):
        with pytest.raises(OverloadedError, match="no thread to give"):
            asyncio.run(admission.run(lambda: None, LONG))

    assert not admission.is_full
