"""What each network is asked to make small: mean losses over a batch.

N images of C x H x W pixels in [0, 1]; L numbers in a code.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.augmentation import vary
from training.networks.autoencoders import Classifier, Decoder, VariationalAutoencoder

Likelihood: TypeAlias = Literal["bernoulli", "gaussian"]
Loss: TypeAlias = Callable[[nn.Module, Tensor, Tensor | None, torch.Generator], Tensor]
"""(network, inputs of a batch, labels of a batch, source of noise) -> mean loss, a scalar."""

LOG_SCALE_FLOOR = -6.0  # a scale of 0.0025, under half a step of 8-bit pixels


def add_noise(images: Tensor, noise_factor: float | Tensor, generator: torch.Generator) -> Tensor:
    """Return clip(images + noise_factor * N(0, 1), 0, 1), the rule of source report 000."""
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + noise_factor * noise).clamp(0, 1)


def reconstruction_loss(
    network: nn.Module, images: Tensor, _labels: Tensor | None, _generator: torch.Generator
) -> Tensor:
    """Return the mean squared error per pixel between images and reconstructions."""
    return functional.mse_loss(network(images), images)


def denoising_loss(noise_factors: tuple[float, ...]) -> Loss:
    """Return the loss of a denoiser: MSE between the clean images and what it makes of noisy ones.

    Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008.
    Each image gets one of `noise_factors` by lot, so that one network serves several levels.
    """

    def loss(
        network: nn.Module, images: Tensor, _labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        levels = torch.tensor(noise_factors, device=images.device)
        lots = torch.randint(
            len(levels), (len(images), 1, 1, 1), generator=generator, device=images.device
        )
        noisy = add_noise(images, levels[lots], generator)
        return functional.mse_loss(network(noisy), images)

    return loss


def classification_loss(
    network: nn.Module, codes: Tensor, labels: Tensor | None, _generator: torch.Generator
) -> Tensor:
    """Return the cross-entropy, in nats, of a head's logits for `codes` (N, L)."""
    if labels is None:
        raise ValueError("a classifier needs labels")
    return functional.cross_entropy(network(codes), labels)


def fine_tuning_loss(shift: int, *, flip: bool) -> Loss:
    """Return the cross-entropy, in nats, of a classifier of images that learns its encoder too.

    In training, not in validation, the images are varied as in `augment.vary`.
    """

    def loss(
        network: nn.Module, images: Tensor, labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        if not isinstance(network, Classifier) or labels is None:
            raise TypeError("fine-tuning needs a Classifier and labels")
        seen = vary(images, shift, generator, flip=flip) if network.training else images
        return functional.cross_entropy(network.logits(seen), labels)

    return loss


class Bound(NamedTuple):
    """The parts of the evidence lower bound of each image, (N,), in nats."""

    log_likelihood: Tensor
    """log p(x | z) of one z drawn from q(z | x), summed over the C*H*W pixels."""
    divergence: Tensor
    """KL(q(z | x) || N(0, I)), exact, summed over the L dimensions."""

    @property
    def elbo(self) -> Tensor:
        """The bound log p(x | z) - KL, on average not above log p(x)."""
        return self.log_likelihood - self.divergence


def variational_loss(likelihood: Likelihood, beta: float) -> Loss:
    """Return the loss of a VAE: the mean over images of beta * KL - log p(x | z), in nats.

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; beta as in Higgins et al., 2017.
    """

    def loss(
        network: nn.Module, images: Tensor, _labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        if not isinstance(network, VariationalAutoencoder):
            raise TypeError("a variational loss needs a VariationalAutoencoder")
        bound = measure_bound(network, images, likelihood, generator)
        return (beta * bound.divergence - bound.log_likelihood).mean()

    return loss


def measure_bound(
    network: VariationalAutoencoder,
    images: Tensor,
    likelihood: Likelihood,
    generator: torch.Generator,
) -> Bound:
    """Return both parts of the evidence lower bound of `images` (N, C, H, W).

    One code is drawn for each image. Grey levels count as they are, in [0, 1]: the Bernoulli
    likelihood is the cross-entropy of report 000's kind of VAE and no density of grey levels; the
    Gaussian one is a density per pixel and may be over 1, so its sum may be positive.
    """
    means, log_variances = network.encoder(images)  # (N, L) each
    noise = torch.randn(means.shape, generator=generator, device=means.device)  # (N, L)
    latents = means + (0.5 * log_variances).exp() * noise  # (N, L)
    if likelihood == "bernoulli":
        log_likelihood = _bernoulli(network.decoder, latents, images)
    else:
        log_likelihood = _gaussian(network.decoder(latents), images, network.log_scale)
    return Bound(log_likelihood, _divergence(means, log_variances))


def _divergence(means: Tensor, log_variances: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)), Kingma and Welling 2014, appendix B: (N, L) -> (N,)."""
    terms = means.square() + log_variances.exp() - 1 - log_variances  # (N, L)
    return 0.5 * terms.sum(dim=1)


def _bernoulli(decoder: Decoder, latents: Tensor, images: Tensor) -> Tensor:
    # From logits: the logarithm of a sigmoid that rounds to 0 or 1 would be infinite.
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
