"""Long runs of a network that wait for a thread are done together, and none of them feels it."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from service.errors import InvalidInputError
from service.inference import batching
from service.inference.batching import QueueBatcher
from service.inference.model import Model
from service.runtimes import Floats
from tests.support.fakes import LATENT_SIZE
from tests.support.servers import wait_until

HUGE = 3e38
"""A latent from which the fake decoder, as a real one, gives no finite image."""

Run = Callable[[], list[Floats]]


@pytest.fixture
def sizes(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The decoder's runs from now on, by their images."""
    seen: list[int] = []
    decoder = model.networks["decoder"]
    run = decoder.run

    def record(batch: Floats) -> list[Floats]:
        seen.append(len(batch))
        return run(batch)

    monkeypatch.setattr(decoder, "run", record)
    return seen


def make_latents(*levels: float) -> Floats:
    """Return latents that the fake decoder turns into images of these levels."""
    return np.repeat(np.array(levels, np.float32)[:, None], LATENT_SIZE, axis=1)


@contextlib.contextmanager
def queue(batcher: QueueBatcher, model: Model, *wanted: tuple[float, ...]) -> Iterator[list[Run]]:
    """Queue a run of the decoder for each group of levels."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                batcher.queue(
                    model, "decoder", len(levels), lambda levels=levels: make_latents(*levels)
                )
            )
            for levels in wanted
        ]


def read_levels(outputs: list[Floats]) -> list[float]:
    """Return the level of each image."""
    levels: list[float] = outputs[0][:, 0, 0, 0].tolist()
    return levels


def test_what_waits_is_one_run(model: Model, sizes: list[int]) -> None:
    """The only thread takes all that waits; each has its own images."""
    with queue(QueueBatcher(1), model, (0.25,), (0.5, 0.75), (1,)) as runs:
        answers = [read_levels(run()) for run in runs]

    assert sizes == [4]
    assert answers == [[0.25], [0.5, 0.75], [1]]


def test_a_later_run_is_not_left_behind(model: Model, sizes: list[int]) -> None:
    """What came after a batch was taken waits for no more than its own thread."""
    batcher = QueueBatcher(1)

    with queue(batcher, model, (0.25,), (0.5,)) as (first, second):
        first()
        with queue(batcher, model, (0.75,)) as (third,):
            assert [read_levels(run()) for run in (second, third)] == [[0.5], [0.75]]

    assert sizes == [2, 1]


def test_threads_share_what_waits(model: Model, sizes: list[int]) -> None:
    """One of two threads leaves half to the other, which helps while its own run is in work."""
    batcher = QueueBatcher(2)
    begun, go_on = threading.Event(), threading.Event()

    def unpack() -> Floats:
        begun.set()
        assert go_on.wait(10)
        return make_latents(0)

    with (
        batcher.queue(model, "decoder", 1, unpack) as first,
        queue(batcher, model, (0.25,), (0.5,), (0.75,)) as (second, third, fourth),
    ):
        one = threading.Thread(target=first)
        other = threading.Thread(target=second)
        one.start()
        assert begun.wait(10)  # with the first and the second run in its hands
        other.start()
        wait_until(lambda: sizes == [1, 1])
        go_on.set()
        one.join()
        other.join()
        assert [read_levels(run()) for run in (third, fourth)] == [[0.5], [0.75]]

    assert sizes == [1, 1, 2]


def test_batches_are_bounded_by_their_time(model: Model, sizes: list[int]) -> None:
    """Everybody waits for the whole batch: two of 30 ms each are not done together."""
    slow = dataclasses.replace(model, seconds={**model.seconds, "decoder": 0.03})

    with queue(QueueBatcher(1), slow, (0.25,), (0.5,)) as runs:
        assert [read_levels(run()) for run in runs] == [[0.25], [0.5]]

    assert sizes == [1, 1]


def test_batches_are_bounded_by_their_images(model: Model, sizes: list[int]) -> None:
    """Large requests gain nothing from company, and would be in memory together."""
    with queue(QueueBatcher(1), model, (0.25,) * 40, (0.5,) * 40, (0.75,) * 100) as runs:
        answers = [read_levels(run()) for run in runs]

    assert sizes == [40, 40, 100]
    assert answers == [[0.25] * 40, [0.5] * 40, [0.75] * 100]


def test_what_fails_fails_alone(model: Model) -> None:
    """An input that cannot be unpacked, or is absurd, is refused, and no other."""
    batcher = QueueBatcher(1)

    def unpack() -> Floats:
        raise InvalidInputError

    with (
        queue(batcher, model, (0.25,), (HUGE,), (0.75,)) as (first, absurd, last),
        batcher.queue(model, "decoder", 1, unpack) as broken,
    ):
        assert [read_levels(run()) for run in (first, last)] == [[0.25], [0.75]]
        for run in (absurd, broken):
            with pytest.raises(InvalidInputError):
                run()


def test_nobody_waits_for_ever(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong around the runs themselves, each that was taken ends."""

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(batching, "run_together", fail)

    with queue(QueueBatcher(1), model, (0.25,), (0.5,)) as runs:
        for run in runs:
            with pytest.raises(MemoryError):
                run()


def test_who_has_gone_is_left_out(model: Model, sizes: list[int]) -> None:
    """A request that was given up while it waited is not run."""
    batcher = QueueBatcher(1)

    with queue(batcher, model, (0.25,)) as (staying,):
        with queue(batcher, model, (0.5,)):
            pass
        assert read_levels(staying()) == [0.25]

    assert sizes == [1]


def test_traced_runs_are_done_alone(
    model: Model, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a span of its own, in its own trace."""
    monkeypatch.setattr(batching, "is_traced", lambda: True)

    with queue(QueueBatcher(1), model, (0.25,), (0.5,)) as runs:
        assert [read_levels(run()) for run in runs] == [[0.25], [0.5]]

    assert sizes == [1, 1]
