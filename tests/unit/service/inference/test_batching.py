"""Runs that one turn of the event loop brings are done as one, and none of them feels it."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from service.errors import InferenceError, InvalidInputError
from service.inference.batching import TurnBatcher
from service.inference.model import Model
from service.runtimes import Floats
from tests.support.fakes import LATENT_SIZE

HUGE = 3e38
"""A latent from which the fake decoder, as a real one, gives no finite image."""


@pytest.fixture
def sizes(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The runs from now on: network and images."""
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


async def gather(
    model: Model, wanted: Sequence[tuple[str, Floats]]
) -> list[list[Floats] | BaseException]:
    """Ask for runs in one turn; return what each gives or raises."""
    batcher = TurnBatcher()
    return await asyncio.gather(
        *(batcher.run(model, network, batch) for network, batch in wanted),
        return_exceptions=True,
    )


def test_runs_of_a_turn_are_one(model: Model, sizes: list[tuple[str, int]]) -> None:
    """Three requests of one, two and one latents are one run; each has its own images."""
    levels = [(0.1,), (0.2, 0.3), (0.4,)]

    answers = asyncio.run(gather(model, [("decoder", make_latents(*given)) for given in levels]))

    assert sizes == [("decoder", 4)]
    for given, (images,) in zip(levels, answers, strict=True):
        assert images[:, 0, 0, 0] == pytest.approx(given)


def test_turns_and_networks_are_kept_apart(model: Model, sizes: list[tuple[str, int]]) -> None:
    """Runs of another network, and of a later turn, are runs of their own."""

    async def ask() -> None:
        batcher = TurnBatcher()
        latents = make_latents(0.5)
        await asyncio.gather(
            batcher.run(model, "decoder", latents), batcher.run(model, "vae_decoder", latents)
        )
        await batcher.run(model, "decoder", latents)

    asyncio.run(ask())

    assert sizes == [("decoder", 1), ("vae_decoder", 1), ("decoder", 1)]


def test_what_fails_fails_alone(model: Model) -> None:
    """Of requests that run together only the one with an absurd input is refused."""
    wanted = [("decoder", make_latents(level)) for level in (0.25, HUGE, 0.75)]

    first, poison, last = asyncio.run(gather(model, wanted))

    assert isinstance(poison, InvalidInputError)
    assert [images[0].ravel()[0] for images in (first, last)] == [0.25, 0.75]


def test_a_broken_backend_fails_everybody(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the backend reaches each who waits, and nobody waits for ever."""

    def fail(_batch: Floats) -> list[Floats]:
        raise InferenceError("broken")

    monkeypatch.setattr(model.networks["decoder"], "run", fail)

    answers = asyncio.run(gather(model, [("decoder", make_latents(0.5))] * 2))

    assert [type(answer) for answer in answers] == [InferenceError] * 2


def test_who_has_gone_is_left_out(model: Model, sizes: list[tuple[str, int]]) -> None:
    """A request that was given up before its turn came is not run."""

    async def ask() -> list[Floats]:
        batcher = TurnBatcher()
        gone, staying = (
            asyncio.ensure_future(batcher.run(model, "decoder", make_latents(level)))
            for level in (0.25, 0.75)
        )
        asyncio.get_running_loop().call_soon(gone.cancel)
        # Both have asked before `gone` is cancelled, which is before their run.
        return await staying

    (images,) = asyncio.run(ask())

    assert images[0].ravel()[0] == 0.75
    assert sizes == [("decoder", 1)]
