"""The networks of a bundle: reproducible, with a frozen encoder in the classifier."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import RecipeError
from training.fitting.network_set import encode_images, fit_networks
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


def make_splits(tmp_path: Path) -> Splits:
    """Return the digits data set."""
    return read_data(make_recipe(), tmp_path, tmp_path)


def test_the_same_seed_gives_the_same_networks(tmp_path: Path) -> None:
    """Two trainings from scratch give bit-identical weights."""
    splits = make_splits(tmp_path)

    first, again = (
        fit_networks(make_recipe(), splits.train, splits.validation, tmp_path / name, CPU)
        for name in ("first", "again")
    )

    for name in ("autoencoder", "denoiser", "vae", "classifier", "gan"):
        one, other = (getattr(networks, name).state_dict() for networks in (first, again))
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_the_classifier_has_the_autoencoders_encoder_unchanged(tmp_path: Path) -> None:
    """Training the head changes neither the weights nor the statistics of the encoder."""
    splits = make_splits(tmp_path)
    recipe = make_recipe()
    alone = recipe.model_copy(update={"denoiser": None, "vae": None, "classifier": None})

    without = fit_networks(alone, splits.train, splits.validation, tmp_path / "a", CPU)
    networks = fit_networks(recipe, splits.train, splits.validation, tmp_path / "b", CPU)

    assert networks.classifier is not None
    assert networks.classifier.encoder is networks.autoencoder.encoder
    before, after = without.autoencoder.state_dict(), networks.autoencoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert set(networks.epochs) == {"autoencoder", "denoiser", "vae", "classifier", "gan"}


def test_a_classifier_requires_classes(tmp_path: Path) -> None:
    """A recipe with a classifier is rejected for images without labels."""
    train = LabelledImages(np.zeros((20, 1, 8, 8), np.uint8), None)
    recipe = make_recipe().model_copy(update={"denoiser": None, "vae": None})

    with pytest.raises(RecipeError, match="classifier: the images have no classes"):
        fit_networks(recipe, train, train, tmp_path, CPU)


def test_latents_do_not_depend_on_batches(tmp_path: Path) -> None:
    """Encoding in several batches keeps the order of the images."""
    splits = make_splits(tmp_path)
    networks = fit_networks(make_recipe(), splits.train, splits.validation, tmp_path, CPU)
    images = torch.from_numpy(splits.train.pixels)
    encoder = networks.autoencoder.encoder

    latents = encode_images(encoder, images)

    assert latents.shape == (1293, 2)
    with torch.no_grad():
        assert torch.allclose(latents[1200:], encoder(images[1200:].float() / 255), atol=1e-5)
