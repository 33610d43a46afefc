"""Admission: short work stays, long work goes to a thread, too much is refused."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from service.errors import InferenceError, OverloadedError
from service.inference.admission import INLINE_SECONDS, Admission

LONG = 2 * INLINE_SECONDS


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
