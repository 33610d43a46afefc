"""The training of a VAE with a sharp decoder: stages, resuming and errors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.errors import RecipeError
from training.fitting.adversarial import vae
from training.fitting.adversarial.features import fit_features
from training.fitting.adversarial.vae import fit_sharp_vae
from training.fitting.examples import Examples
from training.fitting.runs.checkpoints import is_finished, read_weights
from training.fitting.tasks import FitContext
from training.networks.autoencoders import VariationalAutoencoder
from training.networks.gan import PatchDiscriminator
from training.recipe.schema import Recipe, VaeRecipe

_CPU = torch.device("cpu")


def make_recipe(**changes: object) -> VaeRecipe:
    """Return the recipe of a small VAE with both additional losses."""
    small = {"architecture": "resize", "channels": (8, 8), "latent_size": 2, "batch_size": 16}
    weights = {"feature_weight": 1.0, "discriminator_weight": 0.5, "discriminator_start": 0.5}
    return VaeRecipe.model_validate({**small, **weights, "epochs": 2, **changes})


def make_examples(count: int = 48, *, labelled: bool = True) -> Examples:
    """Return images of 1 x 8 x 8 that are bright on the left or on the right."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 56, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 2
    pixels[labels == 0, ..., :4] += 180
    pixels[labels == 1, ..., 4:] += 180
    return Examples(pixels, labels if labelled else None)


def make_context(folder: Path, recipe: VaeRecipe, examples: Examples | None = None) -> FitContext:
    """Return the context of a run in a folder."""
    members = {"name": "test", "data": {"dataset": "digits"}, "autoencoder": {}}
    whole = Recipe.model_validate({**members, "vae": recipe})
    images = examples or make_examples()
    for name in ("vae", "features"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return FitContext(whole, folder, _CPU, images, images)


def train(folder: Path, recipe: VaeRecipe) -> tuple[VariationalAutoencoder, list[float]]:
    """Train a VAE in a folder; return it and the validation loss of each epoch."""
    losses: list[float] = []
    context = make_context(folder, recipe)
    network = context.seeded("vae", lambda: VariationalAutoencoder((1, 8, 8), recipe))
    trained = fit_sharp_vae(
        network, recipe, replace(context, on_epoch=lambda _, x: losses.append(x))
    )
    return trained, losses


def test_reconstructions_and_samples_resemble_the_images(tmp_path: Path) -> None:
    """After training, images of N(0, I) are bright on one side, and reconstructions on the same."""
    trained, _ = train(tmp_path, make_recipe(epochs=60, learning_rate=0.01))

    with torch.no_grad():
        images = make_examples().batch(torch.arange(48))[0]
        error = (trained(images) - images).square().mean()
        noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(3))
        samples = trained.decoder(noise)
    assert error < 0.02
    contrast = (samples[..., :4].mean(dim=(1, 2, 3)) - samples[..., 4:].mean(dim=(1, 2, 3))).abs()
    assert contrast.mean() > 0.5
    assert not trained.training


def test_the_discriminator_starts_after_its_share_of_the_steps(tmp_path: Path) -> None:
    """Before that the losses are those without a discriminator; then they differ."""
    _, losses = train(tmp_path / "with", make_recipe())
    _, without = train(tmp_path / "without", make_recipe(discriminator_weight=0))

    assert losses[0] == without[0]
    assert losses[1] != without[1]


def test_both_gradients_of_reconstructions_have_the_same_length(tmp_path: Path) -> None:
    """The adaptive weight makes the discriminator as strong as the other losses."""
    recipe = make_recipe()
    context = make_context(tmp_path, recipe)
    state = vae._start(VariationalAutoencoder((1, 8, 8), recipe), recipe, context)
    outputs = torch.rand(24, 1, 8, 8).requires_grad_()
    gradient = torch.randn(24, 1, 8, 8)

    opposing = vae._oppose(state, recipe, torch.rand(16, 1, 8, 8), outputs, gradient)

    assert opposing.shape == outputs.shape
    assert opposing[:16].norm() == pytest.approx(float(gradient[:16].norm()), rel=1e-4)
    assert opposing[16:].norm() > 0  # decoded noise


def test_a_resumed_training_gives_the_same_weights(tmp_path: Path) -> None:
    """An interrupted training continues from its last epoch, with the same result."""
    recipe = make_recipe(epochs=3)
    whole, _ = train(tmp_path / "whole", recipe)

    def interrupt(epoch: int, _: float) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    folder = tmp_path / "resumed"
    context = make_context(folder, recipe)
    network = context.seeded("vae", lambda: VariationalAutoencoder((1, 8, 8), recipe))
    with pytest.raises(KeyboardInterrupt):
        fit_sharp_vae(network, recipe, replace(context, on_epoch=interrupt))
    assert not is_finished(folder / "vae")
    resumed, losses = train(folder, recipe)

    assert len(losses) == 2
    assert is_finished(folder / "vae")
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name


def test_a_finished_training_keeps_the_average(tmp_path: Path) -> None:
    """A run that continues another one starts from the weights that its bundle has."""
    trained, _ = train(tmp_path, make_recipe())

    weights = read_weights(tmp_path / "vae")

    assert weights is not None
    assert all(torch.equal(part, weights[name]) for name, part in trained.state_dict().items())


def test_features_need_classes(tmp_path: Path) -> None:
    """Without classes there is no classifier whose features compare images."""
    context = make_context(tmp_path, make_recipe(), make_examples(labelled=False))

    with pytest.raises(RecipeError, match=r"vae\.feature_weight: the images have no classes"):
        fit_features(context)


def test_features_tell_images_of_different_classes_apart(tmp_path: Path) -> None:
    """The difference is 0 for equal images, and larger between classes than within one."""
    features = fit_features(make_context(tmp_path, make_recipe(), make_examples(600)))
    first, second = (make_examples(48).batch(torch.arange(n, 48, 2))[0] for n in (0, 1))

    assert features.compare(first, first) == 0
    assert features.compare(first, second) > 2 * features.compare(first, first.roll(1, dims=0))


@pytest.mark.parametrize("image", [(1, 4, 4), (3, 5, 17), (1, 28, 28)])
def test_the_patch_discriminator_takes_images_of_any_shape(image: tuple[int, int, int]) -> None:
    """It returns one score or more for each image."""
    scores = PatchDiscriminator(image)(torch.rand(2, *image))

    assert scores.shape[:2] == (2, 1)
    assert scores[0].numel() >= 1
