"""Metrics of networks with known outputs."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.evaluation.metrics import evaluate_networks
from training.fitting.network_set import NetworkSet
from training.networks.autoencoders import Autoencoder
from training.recipe.parsing import parse_recipe

CPU = torch.device("cpu")
MEMBERS = {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {"channels": [2]}}
RECIPE = parse_recipe(MEMBERS)


class Shifted(nn.Module):
    """Adds 0.25 to each pixel."""

    def forward(self, images: Tensor) -> Tensor:
        """Return brighter images."""
        return images + 0.25


class Zero(nn.Module):
    """Predicts class 0 of three for every image."""

    def forward(self, images: Tensor) -> Tensor:
        """Return a probability of 1 for class 0."""
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), -1)


def make_test(count: int) -> LabelledImages:
    """Return grey images; a quarter of them has class 0."""
    pixels = np.full((count, 1, 4, 4), 128, np.uint8)
    return LabelledImages(pixels, np.where(np.arange(count) % 4 == 0, 0, 1))


def make_networks(**networks: nn.Module | None) -> NetworkSet:
    """Return a network set with these networks."""
    defaults = {"autoencoder": Shifted(), "denoiser": None, "vae": None, "classifier": None}
    return NetworkSet(**{**defaults, **networks}, epochs={})


def test_the_reconstruction_error_is_measured_per_image_and_on_average() -> None:
    """An offset of 0.25 gives an error of 1/16."""
    evaluation = evaluate_networks(make_networks(), make_test(8), RECIPE, CPU)

    metric = evaluation.metrics["reconstruction_mse"]
    assert set(evaluation.metrics) == {
        *("reconstruction_mse", "reconstruction_ssim", "occluded_mse", "noisy_mse_1.0")
    }
    assert metric.value == pytest.approx(1 / 16)
    assert (metric.split, metric.count, metric.unit) == ("test", 8, "mse")
    assert evaluation.autoencoder_errors.tolist() == pytest.approx([1 / 16] * 8)
    assert evaluation.vae_errors is None


def test_denoising_is_measured_against_clean_images_at_both_levels() -> None:
    """The error of the identity function is the variance of the clipped noise.

    The variance of N(0, 0.3**2) clipped to [-0.5, 0.5] is 0.0754.
    """
    networks = make_networks(denoiser=nn.Identity())

    first, again = (
        evaluate_networks(networks, make_test(400), RECIPE, CPU).metrics for _ in range(2)
    )

    assert first["denoise_mse_0.3"].value == pytest.approx(0.0754, rel=0.05)
    assert first["denoise_mse_0.6"].value > first["denoise_mse_0.3"].value
    assert first == again


def test_corrupted_images_are_compared_with_clean_ones() -> None:
    """The identity function keeps the black square, 1 of 16 pixels, or the clipped noise.

    Grey pixels with noise of N(0, 1) are mostly clipped to an error of 0.5.
    """
    networks = make_networks(autoencoder=nn.Identity())

    metrics = evaluate_networks(networks, make_test(400), RECIPE, CPU).metrics

    assert metrics["occluded_mse"].value == pytest.approx((128 / 255) ** 2 / 16)
    assert metrics["noisy_mse_1.0"].value == pytest.approx(0.183, abs=0.01)
    assert metrics["noisy_mse_1.0"].split == "test"


def test_accuracy_is_a_percentage() -> None:
    """A quarter of the images belongs to the only predicted class."""
    evaluation = evaluate_networks(make_networks(classifier=Zero()), make_test(80), RECIPE, CPU)

    assert evaluation.metrics["classifier_accuracy"].value == 25
    assert evaluation.metrics["classifier_accuracy"].unit == "percent"


def test_all_batches_are_measured_in_order() -> None:
    """The errors of more images than a batch are in the order of the images."""
    network = Autoencoder((1, 4, 4), RECIPE.autoencoder).eval()
    generator = np.random.default_rng(0)
    test = LabelledImages(generator.integers(0, 256, (1500, 1, 4, 4), dtype=np.uint8), None)

    evaluation = evaluate_networks(make_networks(autoencoder=network), test, RECIPE, CPU)

    images = torch.from_numpy(test.pixels).float() / 255
    with torch.no_grad():
        expected = (network(images) - images).square().flatten(1).mean(dim=1)
    assert np.allclose(evaluation.autoencoder_errors, expected, atol=1e-6)
