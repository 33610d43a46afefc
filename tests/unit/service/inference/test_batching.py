"""Operations that run together: joined runs, isolated failures, traces."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from service.errors import DeadlineExceededError, InferenceError, InvalidInputError
from service.inference import operations
from service.inference.batching import Work, run_together
from service.inference.model import Model
from service.runtimes import Floats
from tests.support.fakes import LATENT_SIZE

HUGE = 3e38
"""A latent that the fake decoder, like a real one, decodes into non-finite values."""


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


def make_latents(*levels: float) -> Floats:
    """Return latents that the fake decoder turns into images of these levels."""
    return np.repeat(np.array(levels, np.float32)[:, None], LATENT_SIZE, axis=1)


def make_images(*levels: float) -> Floats:
    """Return images of these levels."""
    shape = (len(levels), 1, 8, 6)
    return np.broadcast_to(np.array(levels, np.float32).reshape(-1, 1, 1, 1), shape)


def decode(model: Model, *levels: float) -> Work[Floats]:
    """Return work that decodes latents."""
    return Work(operations.decode(make_latents(*levels), "autoencoder"), 0.0, model)


def read_levels(works: Sequence[Work[Floats]]) -> list[list[float]]:
    """Return the levels of each result."""
    return [work.result[:, 0, 0, 0].tolist() for work in works if work.result is not None]


def test_runs_of_a_network_are_joined(model: Model, runs: list[tuple[str, int]]) -> None:
    """Operations of one, two and one latents share one run; each has its own images."""
    works = [decode(model, 0.25), decode(model, 0.5, 0.75), decode(model, 1)]

    run_together(works)

    assert runs == [("decoder", 4)]
    assert read_levels(works) == [[0.25], [0.5, 0.75], [1]]


def test_different_networks_run_separately(model: Model, runs: list[tuple[str, int]]) -> None:
    """Runs of different networks, or of different models, are not joined."""
    other = dataclasses.replace(model)
    vae = Work(operations.decode(make_latents(0.5), "vae"), 0.0, model)

    run_together([decode(model, 0.5), vae, decode(other, 0.5)])

    assert sorted(runs) == [("decoder", 1), ("decoder", 1), ("vae_decoder", 1)]


def test_operations_advance_in_lockstep(model: Model, runs: list[tuple[str, int]]) -> None:
    """Operations of several runs join each of them, with operations of one run too."""
    images = make_images(0.25, 0.75)
    works = [
        Work(operations.reconstruct(model, images[:1], "autoencoder"), 0.0, model),
        Work(operations.reconstruct(model, images[1:], "autoencoder"), 0.0, model),
        decode(model, 0.5),
    ]

    run_together(works)

    assert runs == [("encoder", 2), ("decoder", 3)]
    assert [work.result.images[0, 0, 0, 0] for work in works[:2]] == [0.25, 0.75]
    assert read_levels(works[2:]) == [[0.5]]


def test_failures_are_isolated(model: Model) -> None:
    """Of operations that run together only the one with an absurd input fails."""
    works = [decode(model, level) for level in (0.25, HUGE, 0.75)]

    run_together(works)

    assert isinstance(works[1].error, InvalidInputError)
    assert read_levels(works) == [[0.25], [0.75]]


def test_an_input_that_cannot_be_decoded_fails_alone(model: Model) -> None:
    """An operation that fails before its first run does not affect the others."""

    def fail() -> operations.Steps[Floats]:
        raise InvalidInputError
        yield

    works = [Work(fail(), 0.0, model), decode(model, 0.5)]

    run_together(works)

    assert isinstance(works[0].error, InvalidInputError)
    assert read_levels(works) == [[0.5]]


def test_a_failing_backend_fails_every_operation(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the backend ends each operation that runs the network."""

    def fail(_batch: Floats) -> list[Floats]:
        raise InferenceError("broken")

    monkeypatch.setattr(model.networks["decoder"], "run", fail)
    works = [decode(model, 0.5), decode(model, 0.5)]

    run_together(works)

    assert [type(work.error) for work in works] == [InferenceError] * 2


def test_an_operation_can_handle_the_failure_of_its_run(model: Model) -> None:
    """The error of a run is raised where the operation yields the run."""

    def recover() -> operations.Steps[str]:
        try:
            yield "decoder", make_latents(HUGE)
        except InvalidInputError:
            return "recovered"
        return "not reached"

    work = Work(recover(), 0.0, model)

    run_together([work])

    assert (work.result, work.error) == ("recovered", None)


def test_interrupted_run_is_not_repeated(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a joined run that exceeds the time limit, each operation has the error; none runs."""
    batches: list[int] = []

    def exceed_limit(batch: Floats) -> list[Floats]:
        batches.append(len(batch))
        raise DeadlineExceededError("too long")

    monkeypatch.setattr(model.networks["decoder"], "run", exceed_limit)
    works = [decode(model, 0.25), decode(model, 0.5)]

    run_together(works)

    assert batches == [2]
    assert [type(work.error) for work in works] == [DeadlineExceededError] * 2
