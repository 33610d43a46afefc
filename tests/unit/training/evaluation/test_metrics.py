"""The measures, on networks whose figures are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.evaluation.metrics import evaluate_networks
from training.fitting.network_set import Networks
from training.networks.autoencoders import Autoencoder
from training.recipe.schema import parse_recipe

CPU = torch.device("cpu")
MEMBERS = {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {"channels": [2]}}
RECIPE = parse_recipe(MEMBERS)


class Shifted(nn.Module):
    """Gives back what it sees, and a quarter more."""

    def forward(self, images: Tensor) -> Tensor:
        """Return brighter images."""
        return images + 0.25


class Zero(nn.Module):
    """Says class 0 of three for everything."""

    def forward(self, images: Tensor) -> Tensor:
        """Return certain probabilities."""
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), -1)


def make_test(count: int) -> LabelledImages:
    """Return half-grey images, a quarter of them of class 0."""
    pixels = np.full((count, 1, 4, 4), 128, np.uint8)
    return LabelledImages(pixels, np.where(np.arange(count) % 4 == 0, 0, 1))


def make_networks(**networks: nn.Module | None) -> Networks:
    """Return networks with the given ones in place."""
    given = {"autoencoder": Shifted(), "denoiser": None, "vae": None, "classifier": None}
    return Networks(**{**given, **networks}, epochs={})


def test_the_reconstruction_error_is_measured_an_image_and_on_average() -> None:
    """Every image is off by 0.25, so the error is 1/16 each and on average."""
    measures = evaluate_networks(make_networks(), make_test(8), RECIPE, CPU)

    metric = measures.metrics["reconstruction_mse"]
    assert set(measures.metrics) == {"reconstruction_mse", "occluded_mse", "noisy_mse_1.0"}
    assert metric.value == pytest.approx(1 / 16)
    assert (metric.split, metric.count, metric.unit) == ("test", 8, "mse")
    assert measures.autoencoder_errors.tolist() == pytest.approx([1 / 16] * 8)
    assert measures.vae_errors is None


def test_denoising_is_measured_against_the_clean_images_at_both_levels() -> None:
    """A network that changes nothing leaves the noise, which grows with its factor.

    The variance of N(0, 0.3**2) clipped to half a grey level on both sides is 0.0754.
    """
    networks = make_networks(denoiser=nn.Identity())

    first, again = (
        evaluate_networks(networks, make_test(400), RECIPE, CPU).metrics for _ in range(2)
    )

    assert first["denoise_mse_0.3"].value == pytest.approx(0.0754, rel=0.05)
    assert first["denoise_mse_0.6"].value > first["denoise_mse_0.3"].value
    assert first == again


def test_spoiled_images_are_compared_with_the_clean_ones() -> None:
    """What changes nothing leaves a black square of one pixel in sixteen, or clipped noise.

    Half grey with noise of N(0, 1), clipped: all errors are under 0.5, most of them 0.5.
    """
    networks = make_networks(autoencoder=nn.Identity())

    metrics = evaluate_networks(networks, make_test(400), RECIPE, CPU).metrics

    assert metrics["occluded_mse"].value == pytest.approx((128 / 255) ** 2 / 16)
    assert metrics["noisy_mse_1.0"].value == pytest.approx(0.183, abs=0.01)
    assert metrics["noisy_mse_1.0"].split == "test"


def test_accuracy_is_a_percentage() -> None:
    """A quarter of the images is of the only class that is ever named."""
    measures = evaluate_networks(make_networks(classifier=Zero()), make_test(80), RECIPE, CPU)

    assert measures.metrics["classifier_accuracy"].value == 25
    assert measures.metrics["classifier_accuracy"].unit == "percent"


def test_more_images_than_a_batch_are_all_measured() -> None:
    """Figures are over every test image, in their order."""
    network = Autoencoder((1, 4, 4), RECIPE.autoencoder).eval()
    generator = np.random.default_rng(0)
    test = LabelledImages(generator.integers(0, 256, (1500, 1, 4, 4), dtype=np.uint8), None)

    measures = evaluate_networks(make_networks(autoencoder=network), test, RECIPE, CPU)

    images = torch.from_numpy(test.pixels).float() / 255
    with torch.no_grad():
        expected = (network(images) - images).square().flatten(1).mean(dim=1)
    assert np.allclose(measures.autoencoder_errors, expected, atol=1e-6)
