"""Metrics of a bundle's networks on the test images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from service.artifact import Metric
from training.baseline.similarity import mean_of, measure_similarity
from training.data.splits import LabelledImages
from training.evaluation.robustness import (
    Corruption,
    measure_errors,
    noise_corruption,
    occlusion_corruption,
)
from training.fitting.examples import Examples
from training.fitting.losses import Likelihood, measure_bound
from training.fitting.network_set import NetworkSet
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.classifiers import Classifier, ImageClassifier
from training.randomness import make_generator
from training.recipe.schema import Recipe

NOISE_FACTORS = (0.3, 0.6)
"""The two noise levels of source report 000."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics, and the reference errors that turn an image's error into a percentile."""

    metrics: dict[str, Metric]
    autoencoder_errors: NDArray[np.float32]
    """(N,) reconstruction MSE of each test image."""
    vae_errors: NDArray[np.float32] | None


@torch.no_grad()
def evaluate_networks(
    networks: NetworkSet, test: LabelledImages, recipe: Recipe, device: torch.device
) -> Evaluation:
    """Measure every network on the test images, with seeded noise.

    - `reconstruction_mse`, `vae_mse`, `denoise_mse_FACTOR`: mean squared error per pixel.
    - `reconstruction_ssim`, `vae_ssim`: structural similarity, at most 1.
    - `occluded_mse`, `noisy_mse_1.0`: MSE of the plain autoencoder against the clean image, for
      inputs with a black square (side: a quarter of the image's shorter side) at a random position,
      or with clipped noise of N(0, 1).
    - `vae_elbo`, `vae_kl`: nats per image, from one latent drawn per image, with the recipe's
      likelihood (see `losses.measure_bound`) and without beta.
    - `classifier_accuracy`: percent.
    """
    images = Examples.from_images(test, device)
    errors = measure_errors(networks.autoencoder, images)
    values = {
        "reconstruction_mse": (errors.mean(), "mse"),
        "reconstruction_ssim": (_measure_similarity(networks.autoencoder, images), "ssim"),
    }
    for name, corruption in _list_corruptions(test).items():
        generator = make_generator(device, recipe.seed, "evaluate", name)
        corrupted = measure_errors(networks.autoencoder, images, corruption, generator)
        values[name] = (corrupted.mean(), "mse")
    if networks.denoiser is not None:
        for factor in NOISE_FACTORS:
            generator = make_generator(device, recipe.seed, "evaluate", str(factor))
            noise = noise_corruption(factor)
            denoised = measure_errors(networks.denoiser, images, noise, generator)
            values[f"denoise_mse_{factor}"] = (denoised.mean(), "mse")
    if networks.classifier is not None and images.labels is not None:
        values["classifier_accuracy"] = (_measure_accuracy(networks.classifier, images), "percent")
    vae_errors = None
    if networks.vae is not None and recipe.vae is not None:
        vae_errors = measure_errors(networks.vae, images)
        generator = make_generator(device, recipe.seed, "evaluate", "bound")
        elbo, divergence = _measure_bound(networks.vae, images, recipe.vae.likelihood, generator)
        values["vae_mse"] = (vae_errors.mean(), "mse")
        values["vae_ssim"] = (_measure_similarity(networks.vae, images), "ssim")
        values["vae_elbo"] = (elbo, "nats per image")
        values["vae_kl"] = (divergence, "nats per image")
    metrics = {
        name: Metric(value=float(value), unit=unit, split="test", count=len(test))
        for name, (value, unit) in values.items()
    }
    return Evaluation(metrics, errors, vae_errors)


def _list_corruptions(test: LabelledImages) -> dict[str, Corruption]:
    """Return the corrupted inputs of the plain autoencoder, as in report 002.

    The report states neither the occluded area nor the reference image. A square with a quarter of
    the side covers 1/16 of a digit's mean square, 0.006, which equals the increase of the report's
    value. Its value for N(0, 1) noise is so small that only the clean image can be the reference.
    """
    side = min(test.pixels.shape[2:]) // 4
    return {"occluded_mse": occlusion_corruption(side), "noisy_mse_1.0": noise_corruption(1.0)}


def _measure_similarity(network: Autoencoder | VariationalAutoencoder, images: Examples) -> float:
    """Return the mean structural similarity of images and reconstructions."""
    return mean_of([measure_similarity(network(batch), batch) for batch, _ in images.batches()])


def _measure_accuracy(classifier: Classifier | ImageClassifier, images: Examples) -> float:
    """Return the accuracy in percent."""
    correct = sum(
        int((classifier(batch).argmax(dim=1) == labels).sum())
        for batch, labels in images.batches()
        if labels is not None
    )
    return 100 * correct / len(images)


def _measure_bound(
    network: VariationalAutoencoder,
    images: Examples,
    likelihood: Likelihood,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Return the mean ELBO and KL divergence, in nats per image."""
    bounds = [measure_bound(network, batch, likelihood, generator) for batch, _ in images.batches()]
    elbo = torch.cat([bound.elbo for bound in bounds]).mean()
    divergence = torch.cat([bound.divergence for bound in bounds]).mean()
    return float(elbo), float(divergence)
