"""The generative adversarial network: what it makes, resuming, and what stops it."""

import json
from pathlib import Path

import pytest
import torch

from training.errors import RunError, TrainingError
from training.fitting import gan
from training.fitting.checkpoints import is_finished
from training.fitting.gan import Discriminator, Generator, fit_gan
from training.fitting.loop import Examples
from training.recipe.schema import GanRecipe

_CPU = torch.device("cpu")


def make_recipe(**changes: object) -> GanRecipe:
    """Return a small GAN's recipe."""
    small = {"noise_size": 5, "hidden": (16, 12), "epochs": 4, "batch_size": 16}
    return GanRecipe.model_validate({**small, "learning_rate": 0.001, **changes})


def make_examples(count: int = 53) -> Examples:
    """Return images of 1 x 4 x 4 whose left half is bright and whose right half is dark."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 56, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    pixels[..., :2] += 200
    return Examples(pixels)


def test_the_networks_have_the_reports_layers() -> None:
    """100-784-784-784 with tanh, and 784-784-784-1, by default."""
    generator = Generator((1, 28, 28), GanRecipe())
    discriminator = Discriminator((1, 28, 28), GanRecipe())

    shapes = [
        [tuple(part.shape) for part in network.parameters() if part.ndim == 2]
        for network in (generator, discriminator)
    ]

    assert shapes == [[(784, 100), (784, 784), (784, 784)], [(784, 784), (784, 784), (1, 784)]]
    assert isinstance(generator.layers[-1], torch.nn.Tanh)


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 5, 9)])
def test_images_of_any_shape_come_out_in_range(image: tuple[int, int, int]) -> None:
    """Even large noise gives pixels in [0, 1], and each image one logit."""
    images = Generator(image, make_recipe())(100 * torch.randn(7, 5)).detach()

    assert images.shape == (7, *image)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert Discriminator(image, make_recipe())(images).shape == (7, 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_what_images_look_like(tmp_path: Path, precision: str) -> None:
    """After some epochs the left halves are bright and the right ones dark."""
    recipe = make_recipe(epochs=120, learning_rate=0.002, precision=precision)

    generator = fit_gan(recipe, make_examples(), 0, tmp_path, _CPU)

    with torch.no_grad():
        images = generator(torch.randn(200, 5, generator=torch.Generator().manual_seed(3)))
    assert float(images[..., :2].mean()) > 0.75
    assert float(images[..., 2:].mean()) < 0.25


class Interrupt:
    """A step that is interrupted, as a kill would, after a number of calls."""

    def __init__(self, calls: int) -> None:
        """Count down from `calls`."""
        self.left, self.step = calls, gan._take_step

    def __call__(self, *arguments: object) -> object:
        """Take a step, or stop."""
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.step(*arguments)


@pytest.mark.parametrize("calls", [0, 3, 9])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first step or within an epoch: the average comes out the same."""
    whole = fit_gan(make_recipe(), make_examples(), 7, tmp_path / "whole", _CPU)

    with monkeypatch.context() as patched:
        patched.setattr(gan, "_take_step", Interrupt(calls))
        with pytest.raises(KeyboardInterrupt):
            fit_gan(make_recipe(), make_examples(), 7, tmp_path / "cut", _CPU)
    assert not is_finished(tmp_path / "cut")
    torch.rand(3)  # what happens to the global generator in between does not matter
    resumed = fit_gan(make_recipe(), make_examples(), 7, tmp_path / "cut", _CPU)

    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    assert is_finished(tmp_path / "cut")


def test_a_finished_gan_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fit reads the average and takes no step."""
    first = fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)
    monkeypatch.setattr(gan, "_take_step", Interrupt(0))

    second = fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    assert torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert not second.training


def test_the_seed_decides_the_result(tmp_path: Path) -> None:
    """Another seed gives other weights."""
    first, other = (
        fit_gan(make_recipe(), make_examples(), seed, tmp_path / str(seed), _CPU) for seed in (7, 8)
    )

    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_the_history_holds_both_losses(tmp_path: Path) -> None:
    """Each epoch has the generator's and the discriminator's, as finite numbers above 0."""
    fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    history = json.loads((tmp_path / "history.json").read_text())

    assert history["best_epoch"] == len(history["epochs"]) == 4
    for epoch in history["epochs"]:
        assert epoch["generator_loss"] > 0
        assert epoch["discriminator_loss"] > 0
        assert epoch["learning_rate"] == 0.001


def test_a_loss_that_is_no_number_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what may help, and nothing is kept."""
    monkeypatch.setattr(gan, "_take_step", lambda *_: torch.tensor([float("nan"), 1.0]))

    with pytest.raises(TrainingError, match=r"gan: .*epoch 1; a lower gan\.learning_rate"):
        fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    """Weights that do not fit are a damaged checkpoint, told in one line."""
    fit_gan(make_recipe(), make_examples(), 7, tmp_path, _CPU)

    with pytest.raises(RunError, match="--fresh starts over"):
        fit_gan(make_recipe(hidden=(9,)), make_examples(), 7, tmp_path, _CPU)
