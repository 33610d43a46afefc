"""Cooperative yielding: between the parts of long work the event loop gets a turn."""

import asyncio
import contextlib

import pytest

from service.inference import yielding
from service.inference.yielding import yield_to_loop, yielding_to


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yield after each part, whatever it took, and wait for the turn as long as it takes."""
    monkeypatch.setattr(yielding, "_PART_SECONDS", 0.0)
    monkeypatch.setattr(yielding, "_MAX_WAIT_SECONDS", 20.0)


def test_work_continues_after_a_turn() -> None:
    """Work on a thread waits until the loop has run everything that was ready."""
    events: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            with yielding_to(loop):
                loop.call_soon_threadsafe(events.append, "event")
                yield_to_loop()
                events.append("work")

        await asyncio.to_thread(work)

    asyncio.run(run())

    assert events == ["event", "work"]


def test_work_without_a_running_loop_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the loop was closed, and outside of work on a thread, nothing waits."""
    monkeypatch.setattr(yielding.threading, "Event", None)
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        yield_to_loop()
        with yielding_to(loop):
            pass
        yield_to_loop()


def test_closed_loop_is_ignored() -> None:
    """Work that outlives its event loop continues."""
    loop = asyncio.new_event_loop()
    loop.close()

    with yielding_to(loop):
        yield_to_loop()

    assert loop.is_closed()
