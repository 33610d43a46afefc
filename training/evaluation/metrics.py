"""What a bundle's networks do on the test images, which nothing else in training sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.artifact import Metric
from training.data.splits import LabelledImages
from training.evaluation.robustness import Spoiler, make_noisy, make_occluded, measure_errors
from training.fitting.loop import Examples, divide
from training.fitting.losses import measure_bound
from training.fitting.network_set import Networks
from training.networks.autoencoders import Classifier, VariationalAutoencoder
from training.randomness import make_generator
from training.recipe.schema import Recipe

NOISE_FACTORS = (0.3, 0.6)
"""The two levels of source report 000."""

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures, and the errors that make a new image's error a percentile."""

    metrics: dict[str, Metric]
    autoencoder_errors: NDArray[np.float32]
    """(N,) reconstruction MSE of each test image."""
    vae_errors: NDArray[np.float32] | None


@torch.no_grad()
def evaluate_networks(
    networks: Networks, test: LabelledImages, recipe: Recipe, device: torch.device
) -> Measures:
    """Measure every network on the test images; all noise is seeded.

    `reconstruction_mse`, `vae_mse` and `denoise_mse_*` are mean squared errors per pixel of images
    in [0, 1]. `vae_elbo` and `vae_kl` are nats per image with one code drawn for each, by the
    recipe's likelihood as `losses.measure_bound` states it; the ELBO has no beta in it.
    `occluded_mse` and `noisy_mse_1.0` are the plain autoencoder's errors against the clean image
    when it sees one with a black square a quarter of the shorter side along at a random place, or
    with noise of N(0, 1) added and clipped to [0, 1].
    """
    images = Examples.from_images(test, device)
    errors = measure_errors(networks.autoencoder, images)
    figures = {"reconstruction_mse": (errors.mean(), "mse")}
    for name, spoil in _list_spoilers(test).items():
        generator = make_generator(device, recipe.seed, "evaluate", name)
        spoiled = measure_errors(networks.autoencoder, images, spoil, generator)
        figures[name] = (spoiled.mean(), "mse")
    if networks.denoiser is not None:
        for factor in NOISE_FACTORS:
            generator = make_generator(device, recipe.seed, "evaluate", str(factor))
            denoised = measure_errors(networks.denoiser, images, make_noisy(factor), generator)
            figures[f"denoise_mse_{factor}"] = (denoised.mean(), "mse")
    if networks.classifier is not None and images.labels is not None:
        figures["classifier_accuracy"] = (_measure_accuracy(networks.classifier, images), "percent")
    vae_errors = None
    if networks.vae is not None and recipe.vae is not None:
        vae_errors = measure_errors(networks.vae, images)
        elbo, divergence = _measure_bound(networks.vae, images, recipe)
        figures["vae_mse"] = (vae_errors.mean(), "mse")
        figures["vae_elbo"] = (elbo, "nats per image")
        figures["vae_kl"] = (divergence, "nats per image")
    metrics = {
        name: Metric(value=float(value), unit=unit, split="test", count=len(test))
        for name, (value, unit) in figures.items()
    }
    return Measures(metrics, errors, vae_errors)


def _list_spoilers(test: LabelledImages) -> dict[str, Spoiler]:
    """Return what the plain autoencoder is shown besides clean images, as in report 002.

    The report says neither what it hides nor what it compares with. A square of a quarter of the
    side hides a sixteenth of a digit's mean square, 0.006, which is what its figure rises by; and
    its figure for noise of N(0, 1) is too small for anything but clean images to compare with.
    """
    side = min(test.pixels.shape[2:]) // 4
    return {"occluded_mse": make_occluded(side), "noisy_mse_1.0": make_noisy(1.0)}


def _measure_accuracy(classifier: Classifier, images: Examples) -> float:
    """Return the percentage of images whose likeliest class is theirs."""
    right = sum(
        int((classifier(batch).argmax(dim=1) == labels).sum())
        for batch, labels in _batches(images)
        if labels is not None
    )
    return 100 * right / len(images)


def _measure_bound(
    network: VariationalAutoencoder, images: Examples, recipe: Recipe
) -> tuple[float, float]:
    """Return the mean ELBO and KL divergence, in nats per image."""
    likelihood = recipe.vae.likelihood if recipe.vae else "gaussian"
    generator = make_generator(images.inputs.device, recipe.seed, "evaluate", "bound")
    bounds = [measure_bound(network, batch, likelihood, generator) for batch, _ in _batches(images)]
    elbo = torch.cat([bound.elbo for bound in bounds]).mean()
    divergence = torch.cat([bound.divergence for bound in bounds]).mean()
    return float(elbo), float(divergence)


def _batches(images: Examples) -> Iterator[tuple[Tensor, Tensor | None]]:
    order = torch.arange(len(images), device=images.inputs.device)
    return (images.take(indices) for indices in divide(order, _BATCH))
