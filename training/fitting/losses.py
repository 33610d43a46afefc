"""Loss functions: means over a batch.

N images of C x H x W pixels in [0, 1]; L latent dimensions.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.augmentation import augment
from training.networks.autoencoders import AnyDecoder, AnyVariationalEncoder, VariationalAutoencoder
from training.networks.classifiers import Classifier, ImageClassifier, JudgeNetwork
from training.networks.residual import ResidualDecoder
from training.recipe.schema import AugmentedRecipe, DenoiserRecipe, VaeRecipe

Likelihood: TypeAlias = Literal["bernoulli", "gaussian"]
Loss: TypeAlias = Callable[[nn.Module, Tensor, Tensor | None, torch.Generator], Tensor]
"""(network, inputs of a batch, labels of a batch, noise generator) -> mean loss, a scalar."""

LOG_SCALE_FLOOR = -6.0  # a scale of 0.0025: less than half a step of 8-bit pixels


def add_noise(images: Tensor, noise_factor: float | Tensor, generator: torch.Generator) -> Tensor:
    """Return clip(images + noise_factor * N(0, 1), 0, 1), as in source report 000."""
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + noise_factor * noise).clamp(0, 1)


def reconstruction_loss(recipe: AugmentedRecipe) -> Loss:
    """Return the mean squared error per pixel between images and reconstructions.

    Images are augmented in training, as the recipe says.
    """

    def loss(
        network: nn.Module, images: Tensor, _labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        targets = _augment(network, images, recipe, generator)
        return functional.mse_loss(network(targets), targets)

    return loss


def denoising_loss(recipe: DenoiserRecipe) -> Loss:
    """Return the loss of a denoiser: MSE between clean images and outputs for noisy images.

    Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008.
    Each image receives a random one of the recipe's noise factors: one network covers all levels.
    """

    def loss(
        network: nn.Module, images: Tensor, _labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        targets = _augment(network, images, recipe, generator)
        levels = torch.tensor(recipe.noise_factors, device=images.device)
        indices = torch.randint(
            len(levels), (len(images), 1, 1, 1), generator=generator, device=images.device
        )
        noisy = add_noise(targets, levels[indices], generator)
        return functional.mse_loss(network(noisy), targets)

    return loss


def classification_loss(weights: Tensor | None = None) -> Loss:
    """Return the cross-entropy, in nats, of a head's logits for latents (N, L).

    Args:
        weights: (K,) weight of each class; None: all equal.
    """

    def loss(
        network: nn.Module, latents: Tensor, labels: Tensor | None, _generator: torch.Generator
    ) -> Tensor:
        if labels is None:
            raise ValueError("classification_loss requires labels")
        return functional.cross_entropy(network(latents), labels, weights)

    return loss


def augmented_loss(
    shift: int, *, flip: bool, edge: bool = False, weights: Tensor | None = None
) -> Loss:
    """Return the cross-entropy, in nats, of a classifier of images, with training augmentation.

    Args:
        shift: As in `augment`.
        flip: As in `augment`.
        edge: As in `augment`.
        weights: (K,) weight of each class; None: all equal.
    """

    def loss(
        network: nn.Module, images: Tensor, labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        kinds = Classifier | ImageClassifier | JudgeNetwork
        if not isinstance(network, kinds) or labels is None:
            raise TypeError("augmented_loss requires a classifier of images, and labels")
        inputs = images
        if network.training:
            inputs = augment(images, shift, generator, flip=flip, edge=edge)
        return functional.cross_entropy(network.logits(inputs), labels, weights)

    return loss


def weigh_classes(labels: Tensor) -> Tensor:
    """Return the weights (K,) that give every class the same sum over labels (N,), mean 1."""
    counts = torch.bincount(labels).float()
    return len(labels) / (len(counts) * counts.clamp(min=1))


def _augment(
    network: nn.Module, images: Tensor, recipe: AugmentedRecipe, generator: torch.Generator
) -> Tensor:
    return augment_images(images, recipe, generator) if network.training else images


def augment_images(images: Tensor, recipe: AugmentedRecipe, generator: torch.Generator) -> Tensor:
    """Return augmented images; without augmentation no random number is drawn."""
    flip = recipe.flip is True
    return augment(images, recipe.shift, generator, flip=flip, edge=True)


class Bound(NamedTuple):
    """The terms of the evidence lower bound of each image, (N,), in nats."""

    log_likelihood: Tensor
    """log p(x | z) for one z drawn from q(z | x), summed over the C*H*W pixels."""
    divergence: Tensor
    """KL(q(z | x) || N(0, I)), exact, summed over the L dimensions."""

    @property
    def elbo(self) -> Tensor:
        """Log p(x | z) - KL: in expectation a lower bound of log p(x)."""
        return self.log_likelihood - self.divergence


def variational_loss(recipe: VaeRecipe) -> Loss:
    """Return the loss of a VAE: the mean over images of beta * KL - log p(x | z), in nats.

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; beta as in Higgins et al., 2017.
    """

    def loss(
        network: nn.Module, images: Tensor, _labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        if not isinstance(network, VariationalAutoencoder):
            raise TypeError("variational_loss requires a VariationalAutoencoder")
        inputs = _augment(network, images, recipe, generator)
        bound = measure_bound(network, inputs, recipe.likelihood, generator)
        return (recipe.beta * bound.divergence - bound.log_likelihood).mean()

    return loss


def measure_bound(
    network: VariationalAutoencoder,
    images: Tensor,
    likelihood: Likelihood,
    generator: torch.Generator,
) -> Bound:
    """Return the terms of the evidence lower bound of images (N, C, H, W), for one z per image.

    Pixels are real numbers in [0, 1]. The Bernoulli likelihood is therefore the cross-entropy that
    report 000 uses, and not a density. The Gaussian one is a density: it can exceed 1 per pixel,
    and its logarithm can be positive.
    """
    latents, divergences = encode_randomly(network.encoder, images, generator)
    if likelihood == "bernoulli":
        log_likelihood = _bernoulli(network.decoder, latents, images)
    else:
        log_likelihood = _gaussian(network.decoder(latents), images, network.log_scale)
    return Bound(log_likelihood, divergences)


def encode_randomly(
    encoder: AnyVariationalEncoder, images: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a latent z drawn from q(z | x), (N, L), and KL(q(z | x) || N(0, I)), (N,)."""
    means, log_variances = encoder(images)  # (N, L) each
    noise = torch.randn(means.shape, generator=generator, device=means.device)  # (N, L)
    latents = means + (0.5 * log_variances).exp() * noise  # (N, L)
    return latents, _divergence(means, log_variances)


def _divergence(means: Tensor, log_variances: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)), Kingma and Welling 2014, appendix B: (N, L) -> (N,)."""
    terms = means.square() + log_variances.exp() - 1 - log_variances  # (N, L)
    return 0.5 * terms.sum(dim=1)


def _bernoulli(decoder: AnyDecoder, latents: Tensor, images: Tensor) -> Tensor:
    if isinstance(decoder, ResidualDecoder):
        raise TypeError("the Bernoulli likelihood requires a decoder with logits")
    # From logits, because the logarithm of a sigmoid that rounds to 0 or 1 is infinite.
    errors = functional.binary_cross_entropy_with_logits(
        decoder.logits(latents), images, reduction="none"
    )  # (N, C, H, W)
    return -errors.flatten(1).sum(dim=1)


def _gaussian(reconstructions: Tensor, images: Tensor, log_scale: Tensor) -> Tensor:
    """One learned scale for all pixels, as in report 003 (sigma-VAE: Rybkin et al., 2021)."""
    floored = log_scale.clamp(min=LOG_SCALE_FLOOR)
    errors = ((images - reconstructions) / floored.exp()).square()  # (N, C, H, W)
    terms = -0.5 * errors - floored - 0.5 * math.log(2 * math.pi)  # (N, C, H, W)
    return terms.flatten(1).sum(dim=1)
