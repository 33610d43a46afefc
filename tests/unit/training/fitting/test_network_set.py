"""The networks of a bundle: reproducible, with a frozen encoder in the classifier."""

from pathlib import Path

import pytest
import torch

from training.baseline.measure import fit_baseline
from training.data.datasets import read_data
from training.data.splits import Splits
from training.errors import RecipeError
from training.fitting import network_set
from training.fitting.examples import Examples
from training.fitting.network_set import NetworkSet, encode_images
from training.fitting.tasks import FitContext, make_task
from training.recipe.parsing import override, parse_recipe, read_recipe
from training.recipe.schema import Recipe

CPU = torch.device("cpu")
TINY = {"channels": [4], "hidden": 8, "latent_size": 2, "epochs": 1, "batch_size": 64}


def make_recipe() -> Recipe:
    """Return the digits recipe with tiny networks and one epoch each."""
    members = read_recipe("digits")
    changes = [
        (f"{name}.{key}", value)
        for name in ("autoencoder", "denoiser", "vae")
        for key, value in TINY.items()
    ]
    return parse_recipe(
        override(
            members,
            [
                *changes,
                ("classifier.epochs", 1),
                ("density.search_codes", 50),
                ("gan", {"noise_size": 4, "hidden": [8], "epochs": 1}),
            ],
        )
    )


def fit_networks(recipe: Recipe, splits: Splits, folder: Path) -> NetworkSet:
    """Train the networks of `recipe` on the CPU."""
    training, validation = (
        Examples.from_images(images, CPU) for images in (splits.train, splits.validation)
    )
    return network_set.fit_networks(FitContext(recipe, folder, CPU, training, validation))


def make_splits(tmp_path: Path) -> Splits:
    """Return the digits data set."""
    return read_data(make_recipe(), tmp_path, tmp_path)


def test_the_same_seed_gives_the_same_networks(tmp_path: Path) -> None:
    """Two trainings from scratch give bit-identical weights."""
    splits = make_splits(tmp_path)

    first, again = (
        fit_networks(make_recipe(), splits, tmp_path / name) for name in ("first", "again")
    )

    for name in ("autoencoder", "denoiser", "vae", "classifier", "gan"):
        one, other = (getattr(networks, name).state_dict() for networks in (first, again))
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_the_classifier_has_the_autoencoders_encoder_unchanged(tmp_path: Path) -> None:
    """Training the head changes neither the weights nor the statistics of the encoder."""
    splits = make_splits(tmp_path)
    recipe = make_recipe()
    alone = recipe.model_copy(update={"denoiser": None, "vae": None, "classifier": None})

    without = fit_networks(alone, splits, tmp_path / "a")
    networks = fit_networks(recipe, splits, tmp_path / "b")

    assert networks.classifier is not None
    assert networks.classifier.encoder is networks.autoencoder.encoder
    before, after = without.autoencoder.state_dict(), networks.autoencoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert set(networks.epochs) == {"autoencoder", "denoiser", "vae", "classifier", "gan"}


def test_a_classifier_requires_classes(tmp_path: Path) -> None:
    """A recipe with a classifier is rejected for images without labels."""
    images = Examples(torch.zeros(20, 1, 8, 8, dtype=torch.uint8))
    recipe = make_recipe().model_copy(update={"denoiser": None, "vae": None})

    with pytest.raises(RecipeError, match="classifier: the images have no classes"):
        network_set.fit_networks(FitContext(recipe, tmp_path, CPU, images, images))


def test_latents_do_not_depend_on_batches(tmp_path: Path) -> None:
    """Encoding in several batches keeps the order of the images."""
    splits = make_splits(tmp_path)
    networks = fit_networks(make_recipe(), splits, tmp_path)
    images = torch.from_numpy(splits.train.pixels)
    encoder = networks.autoencoder.encoder

    latents = encode_images(encoder, images)

    assert latents.shape == (1293, 2)
    with torch.no_grad():
        assert torch.allclose(latents[1200:], encoder(images[1200:].float() / 255), atol=1e-5)


def test_a_network_that_does_not_improve_on_pca_is_pca(tmp_path: Path) -> None:
    """With a step size that only harms, the bundle's autoencoder is PCA without convolutions."""
    splits = make_splits(tmp_path)
    harmful = {
        "architecture": "residual",
        "channels": [4],
        "latent_size": 8,
        "epochs": 1,
        "learning_rate": 1.0,
    }
    recipe = parse_recipe({"name": "pca", "data": {"dataset": "digits"}, "autoencoder": harmful})
    baseline = fit_baseline(recipe, splits)[1]

    networks = fit_networks(recipe, splits, tmp_path)

    metrics = baseline.measure(splits.test, "test")
    images = torch.from_numpy(splits.test.pixels).float() / 255
    with torch.no_grad():
        error = (networks.autoencoder(images) - images).square().mean().item()
    assert networks.epochs == {"autoencoder": 0}
    assert networks.autoencoder.decoder.branch is None
    assert error == pytest.approx(metrics["pca_mse"].value, rel=1e-3)


def test_a_classifier_with_channels_starts_at_logistic_regression(tmp_path: Path) -> None:
    """Before its first step it gives the classes of the baseline."""
    splits = make_splits(tmp_path)
    recipe = parse_recipe(
        {
            "name": "images",
            "data": {"dataset": "digits"},
            "autoencoder": {"latent_size": 16},
            "classifier": {"channels": [4], "hidden": [8]},
        }
    )
    baseline = fit_baseline(recipe, splits)[1]
    training = Examples.from_images(splits.train, CPU)
    context = FitContext(recipe, tmp_path, CPU, training, training, baseline=baseline)

    task = make_task("classifier", context)

    images = torch.from_numpy(splits.test.pixels).float() / 255
    assert task is not None
    with torch.no_grad():
        classes = task.network.eval()(images).argmax(dim=1).numpy()
    accuracy = 100 * float((classes == splits.test.labels).mean())
    expected = baseline.measure(splits.test, "test")["pca_accuracy"].value
    assert expected > 80
    assert accuracy == pytest.approx(expected, abs=0.5)
