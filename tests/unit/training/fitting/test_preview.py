"""The PNG file that shows reconstructions and samples while a network trains."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from training.fitting.examples import Examples
from training.fitting.preview import PREVIEW_FILE, write_preview
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.recipe.schema import AutoencoderRecipe, VaeRecipe

IMAGES = Examples(
    torch.arange(30, dtype=torch.uint8).reshape(30, 1, 1, 1).expand(-1, 3, 16, 10) * 8
)


def read(path: Path) -> np.ndarray:
    """Return the pixels of a PNG file."""
    with Image.open(path) as image:
        return np.asarray(image)


def test_originals_stand_above_reconstructions(tmp_path: Path) -> None:
    """Twelve of the images, enlarged to 48 pixels; PCA of zeros restores black."""
    network = Autoencoder((3, 16, 10), AutoencoderRecipe(architecture="residual", latent_size=2))

    write_preview(tmp_path / PREVIEW_FILE, network, IMAGES)

    pixels = read(tmp_path / PREVIEW_FILE)
    assert pixels.shape == (2 * 48, 12 * 30, 3)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, -1].tolist() == [232, 232, 232]
    assert not pixels[48:].any()


def test_a_vae_shows_samples_too(tmp_path: Path) -> None:
    """The third row is decoded from N(0, I)."""
    network = VariationalAutoencoder((3, 16, 10), VaeRecipe(architecture="residual", latent_size=2))

    write_preview(tmp_path / PREVIEW_FILE, network, IMAGES)

    assert read(tmp_path / PREVIEW_FILE).shape == (3 * 48, 12 * 30, 3)


def test_a_classifier_writes_nothing(tmp_path: Path) -> None:
    """It makes no images."""
    write_preview(tmp_path / PREVIEW_FILE, nn.Identity(), IMAGES)

    assert not (tmp_path / PREVIEW_FILE).exists()
