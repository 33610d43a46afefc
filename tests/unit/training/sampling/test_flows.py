"""Flows: what they learn, resuming, and the sampler that draws through them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from training.errors import TrainingError
from training.fitting import loop
from training.recipe.schema import FlowRecipe
from training.sampling import flows
from training.sampling.flows import FlowSampler, fit_flow, integrate_finely
from training.sampling.latents import SplitLatents

_CPU = torch.device("cpu")
CENTRES = np.array([[-3, 0], [3, 8]], np.float32)
SHARES = (0.75, 0.25)


def make_latents(count: int = 600, *, labelled: bool = True) -> SplitLatents:
    """Return two round clusters with standard deviation 1/2, one for each class."""
    rng = np.random.default_rng(0)
    labels = (rng.random(count) < SHARES[1]).astype(np.int64)
    codes = (CENTRES[labels] + 0.5 * rng.standard_normal((count, 2))).astype(np.float32)
    if not labelled:
        return SplitLatents(codes, codes[:200])
    return SplitLatents(codes, codes[:200], labels, labels[:200], 2)


def make_recipe(**changes: object) -> FlowRecipe:
    """Return the recipe of a small flow."""
    small = {"width": 24, "blocks": 1, "epochs": 1, "batch_size": 64, "pairs": 256}
    return FlowRecipe.model_validate({**small, "distillation_epochs": 1, **changes})


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> FlowSampler:
    """Return the sampler of a flow that was trained for a few seconds."""
    recipe = make_recipe(epochs=60, learning_rate=0.01, pairs=2048, distillation_epochs=30)
    return fit_flow(make_latents(), recipe, 0, tmp_path_factory.mktemp("flow"), _CPU)


@pytest.mark.parametrize("label", [0, 1])
def test_a_requested_class_is_drawn(sampler: FlowSampler, label: int) -> None:
    """The draws have the mean and the spread of the class."""
    drawn = sampler.draw(2000, np.random.default_rng(0), label, 1.0)

    assert drawn.dtype == np.float32
    assert np.abs(np.median(drawn, axis=0) - CENTRES[label]).max() < 0.5  # guidance overshoots
    distances = np.linalg.norm(drawn - CENTRES[label], axis=1)
    assert 0.35 < np.median(distances) < 0.85  # 0.59 for the cluster
    assert (distances < 3).mean() > 0.97


def test_classes_are_drawn_as_often_as_in_training(sampler: FlowSampler) -> None:
    """Without a label three quarters of the draws are of the first class."""
    drawn = sampler.draw(4000, np.random.default_rng(0), None, 1.0)

    assert (drawn[:, 0] < 0).mean() == pytest.approx(SHARES[0], abs=0.05)


def test_a_temperature_scales_the_spread(sampler: FlowSampler) -> None:
    """A low temperature draws near the centre of the class."""
    spreads = [
        sampler.draw(500, np.random.default_rng(0), 1, temperature).std()
        for temperature in (0.2, 1.0)
    ]
    centred = sampler.draw(500, np.random.default_rng(0), 1, 0.2)

    assert spreads[0] < spreads[1]
    assert np.abs(np.median(centred, axis=0) - CENTRES[1]).max() < 0.5


def test_few_steps_reach_the_latents_of_many(tmp_path: Path) -> None:
    """The second training reduces the error of one Euler step several times."""
    recipe = make_recipe(epochs=30, learning_rate=0.01, pairs=2048, steps=1)
    errors = []
    for epochs in (1, 30):
        changed = recipe.model_copy(update={"distillation_epochs": epochs})
        pairs = fit_flow(make_latents(), changed, 0, tmp_path / str(epochs), _CPU)
        history = loop.read_checkpoint(tmp_path / str(epochs) / "distilled", _CPU)
        assert history is not None
        errors.append(history[0].best_loss)
        assert pairs.flow.steps == 1

    assert errors[1] < errors[0] / 3


def test_guidance_moves_latents_away_from_other_classes(sampler: FlowSampler) -> None:
    """A guidance of 1 is none; a higher one changes the latents of a class."""
    rows = torch.from_numpy(sampler.noise.draw(500, np.random.default_rng(0), 0, 1.0))

    plain, again, guided = (integrate_finely(sampler.flow, rows, g) for g in (1.0, 1.0, 3.0))

    assert torch.equal(plain, again)
    assert not torch.allclose(plain, guided, atol=0.01)


def test_unlabelled_latents_need_no_classes(tmp_path: Path) -> None:
    """The flow takes noise only."""
    sampler = fit_flow(make_latents(labelled=False), make_recipe(), 0, tmp_path, _CPU)

    assert sampler.flow.classes == 0
    assert sampler.draw(5, np.random.default_rng(0), None, 1.0).shape == (5, 2)
    assert not sampler.noise.classes


def test_a_flow_requires_validation_images(tmp_path: Path) -> None:
    """They decide early stopping."""
    latents = SplitLatents(CENTRES, CENTRES[:0])

    with pytest.raises(TrainingError, match="0 validation images"):
        fit_flow(latents, make_recipe(), 0, tmp_path, _CPU)


class Interrupt:
    """A loss that raises KeyboardInterrupt after a number of calls."""

    def __init__(self, loss: Callable[..., torch.Tensor], calls: int) -> None:
        """Count down from `calls`."""
        self.loss, self.remaining = loss, calls

    def __call__(self, *arguments: object) -> torch.Tensor:
        """Return the loss or interrupt."""
        self.remaining -= 1
        if self.remaining < 0:
            raise KeyboardInterrupt
        return self.loss(*arguments)


@pytest.mark.parametrize("name", ["matching_loss", "distillation_loss"])
def test_a_resumed_training_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Interrupted in the second epoch of either training, the weights are those of a whole one."""
    recipe = make_recipe(epochs=3, distillation_epochs=3)
    whole = fit_flow(make_latents(), recipe, 7, tmp_path / "whole", _CPU)

    with monkeypatch.context() as patched:
        patched.setattr(flows, name, Interrupt(getattr(flows, name), 8))
        with pytest.raises(KeyboardInterrupt):
            fit_flow(make_latents(), recipe, 7, tmp_path / "cut", _CPU)
    resumed = fit_flow(make_latents(), recipe, 7, tmp_path / "cut", _CPU)

    for key, weights in whole.flow.state_dict().items():
        assert torch.equal(weights, resumed.flow.state_dict()[key]), key


def test_a_finished_flow_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fit trains nothing and draws the same."""
    first = fit_flow(make_latents(), make_recipe(), 7, tmp_path, _CPU)
    for name in ("matching_loss", "distillation_loss"):
        monkeypatch.setattr(flows, name, Interrupt(getattr(flows, name), 0))

    again = fit_flow(make_latents(), make_recipe(), 7, tmp_path, _CPU)

    draws = [some.draw(9, np.random.default_rng(0), None, 1.0) for some in (first, again)]
    assert np.array_equal(*draws)
