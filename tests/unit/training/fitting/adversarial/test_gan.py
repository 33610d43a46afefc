"""The generative adversarial network: layers, training, resuming and errors."""

import json
from pathlib import Path

import pytest
import torch

from training.errors import RunError, TrainingError
from training.fitting.adversarial import gan
from training.fitting.adversarial.gan import fit_gan
from training.fitting.examples import Examples
from training.fitting.runs.checkpoints import is_finished
from training.networks.gan import Discriminator, Generator
from training.recipe.schema import GanRecipe

_CPU = torch.device("cpu")


def make_recipe(**changes: object) -> GanRecipe:
    """Return the recipe of a small GAN."""
    small = {"noise_size": 5, "hidden": (16, 12), "epochs": 4, "batch_size": 16}
    return GanRecipe.model_validate({**small, "learning_rate": 0.001, **changes})


def make_examples(count: int = 53) -> Examples:
    """Return images of 1 x 4 x 4 with a bright left half and a dark right half."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 56, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    pixels[..., :2] += 200
    return Examples(pixels)


def test_the_networks_have_the_reports_layers() -> None:
    """The defaults are 100-784-784-784 with tanh, and 784-784-784-1."""
    generator = Generator((1, 28, 28), GanRecipe())
    discriminator = Discriminator((1, 28, 28), GanRecipe())

    shapes = [
        [tuple(part.shape) for part in network.parameters() if part.ndim == 2]
        for network in (generator, discriminator)
    ]

    assert shapes == [[(784, 100), (784, 784), (784, 784)], [(784, 784), (784, 784), (1, 784)]]
    assert isinstance(generator.layers[-1], torch.nn.Tanh)


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 5, 9)])
def test_generated_images_of_any_shape_are_in_range(image: tuple[int, int, int]) -> None:
    """Large noise gives pixels in [0, 1]; the discriminator returns one logit per image."""
    images = Generator(image, make_recipe())(100 * torch.randn(7, 5)).detach()

    assert images.shape == (7, *image)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert Discriminator(image, make_recipe())(images).shape == (7, 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_generator_learns_the_image_distribution(tmp_path: Path, precision: str) -> None:
    """Generated images have a bright left half and a dark right half."""
    recipe = make_recipe(epochs=120, learning_rate=0.002, precision=precision)

    generator = fit_gan(recipe, make_examples(), 0, tmp_path, _CPU)

    with torch.no_grad():
        images = generator(torch.randn(200, 5, generator=torch.Generator().manual_seed(3)))
    assert float(images[..., :2].mean()) > 0.75
    assert float(images[..., 2:].mean()) < 0.25


class Interrupt:
    """A training step that raises KeyboardInterrupt after a number of calls."""

    def __init__(self, calls: int) -> None:
        """Count down from `calls`."""
        self.remaining, self.step = calls, gan._run_step

    def __call__(self, *arguments: object) -> object:
        """Run a step or interrupt."""
        self.remaining -= 1
        if self.remaining < 0:
            raise KeyboardInterrupt
        return self.step(*arguments)


@pytest.mark.parametrize("calls", [0, 3, 9])
def test_a_resumed_training_is_bit_identical_to_an_uninterrupted_one(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before the first step or within an epoch, the averaged weights are equal."""
    whole = fit_gan(make_recipe(), make_examples(), 7, tmp_path / "whole", _CPU)

    with monkeypatch.context() as patched:
        patched.setattr(gan, "_run_step", Interrupt(calls))
        with pytest.raises(KeyboardInterrupt):
            fit_gan(make_recipe(), make_examples(), 7, tmp_path / "cut", _CPU)
    assert not is_finished(tmp_path / "cut")
    torch.rand(3)  # use of the global generator in between has no effect
    resumed = fit_gan(make_recipe(), make_examples(), 7, tmp_path / "cut", _CPU)

    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    assert is_finished(tmp_path / "cut")


def test_a_finished_gan_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fit loads the averaged weights and runs no step."""
    first = fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)
    monkeypatch.setattr(gan, "_run_step", Interrupt(0))

    second = fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    assert torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert not second.training


def test_the_weights_depend_on_the_seed(tmp_path: Path) -> None:
    """Two seeds give different weights."""
    first, other = (
        fit_gan(make_recipe(), make_examples(), seed, tmp_path / str(seed), _CPU) for seed in (7, 8)
    )

    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_the_history_contains_both_losses(tmp_path: Path) -> None:
    """Each epoch has positive losses of the generator and of the discriminator."""
    fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    history = json.loads((tmp_path / "history.json").read_text())

    assert history["best_epoch"] == len(history["epochs"]) == 4
    for epoch in history["epochs"]:
        assert epoch["generator_loss"] > 0
        assert epoch["discriminator_loss"] > 0
        assert epoch["learning_rate"] == 0.001


def test_a_nan_loss_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the key to change, and no checkpoint is written."""
    monkeypatch.setattr(gan, "_run_step", lambda *_: torch.tensor([float("nan"), 1.0]))

    with pytest.raises(
        TrainingError, match=r"gan: the loss is nan in epoch 1; reduce gan\.learning_rate"
    ):
        fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_networks_is_rejected(tmp_path: Path) -> None:
    """Weights of other shapes give the error of a damaged checkpoint."""
    fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    with pytest.raises(RunError, match="start over with --fresh"):
        fit_gan(make_recipe(hidden=(9,)), make_examples(), 7, tmp_path, _CPU)
