"""The losses, compared with closed-form values."""

import math

import pytest
import torch
from torch import Tensor, nn

from training.fitting.losses import (
    add_noise,
    classification_loss,
    denoising_loss,
    measure_bound,
    reconstruction_loss,
    variational_loss,
)
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.recipe.schema import AutoencoderRecipe, DenoiserRecipe, VaeRecipe

SHAPE = (1, 4, 4)


class FixedEncoder(nn.Module):
    """Returns the same distribution over latents for every image."""

    def __init__(self, means: list[float], log_variances: list[float]) -> None:
        """Store the parameters of the distribution."""
        super().__init__()
        self.means = torch.tensor(means)
        self.log_variances = torch.tensor(log_variances)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parameters for each image."""
        count = len(images)
        return self.means.expand(count, -1), self.log_variances.expand(count, -1)


class GreyDecoder(nn.Module):
    """Returns the same grey image for all latents."""

    def __init__(self, grey: float) -> None:
        """Store the grey level, in (0, 1)."""
        super().__init__()
        self.grey = grey

    def forward(self, latents: Tensor) -> Tensor:
        """Return grey images."""
        return torch.full((len(latents), *SHAPE), self.grey)

    def logits(self, latents: Tensor) -> Tensor:
        """Return the logits of the grey level."""
        return torch.logit(self(latents))


def make_vae(
    means: list[float], log_variances: list[float], grey: float, log_scale: float = 0.0
) -> VariationalAutoencoder:
    """Return a VAE with known outputs of every part."""
    network = VariationalAutoencoder(SHAPE, VaeRecipe(latent_size=len(means)))
    network.encoder = FixedEncoder(means, log_variances)
    network.decoder = GreyDecoder(grey)
    network.log_scale.data.fill_(log_scale)
    return network


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    """KL(N(1, 4) || N(0, 1)) = (1 + 4 - 1 - log 4) / 2, summed over dimensions."""
    network = make_vae([1.0, 0.0], [math.log(4), 0.0], 0.5)

    bound = measure_bound(network, torch.zeros(3, *SHAPE), "bernoulli", torch.Generator())

    expected = (1 + 4 - 1 - math.log(4)) / 2
    assert bound.divergence.tolist() == pytest.approx([expected] * 3)


def test_the_gaussian_likelihood_is_a_density_summed_over_pixels() -> None:
    """16 pixels with an error of 0.25 and a scale of 0.5."""
    network = make_vae([0.0], [0.0], 0.5, math.log(0.5))

    bound = measure_bound(network, torch.full((2, *SHAPE), 0.75), "gaussian", torch.Generator())

    per_pixel = -0.5 * (0.25 / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)
    assert bound.log_likelihood.tolist() == pytest.approx([16 * per_pixel] * 2, rel=1e-5)
    assert bound.elbo.tolist() == pytest.approx([16 * per_pixel] * 2, rel=1e-5)


def test_the_bernoulli_likelihood_is_a_cross_entropy_summed_over_pixels() -> None:
    """16 pixels of 0.3 for a prediction of 0.8."""
    network = make_vae([0.0], [0.0], 0.8)

    bound = measure_bound(network, torch.full((1, *SHAPE), 0.3), "bernoulli", torch.Generator())

    per_pixel = 0.3 * math.log(0.8) + 0.7 * math.log(0.2)
    assert bound.log_likelihood.item() == pytest.approx(16 * per_pixel, rel=1e-5)


def test_the_variational_loss_is_the_negative_bound_with_beta_on_the_divergence() -> None:
    """Beta multiplies the KL divergence only."""
    network = make_vae([2.0], [0.0], 0.5)
    images = torch.full((2, *SHAPE), 0.5)

    losses = [
        variational_loss(VaeRecipe(likelihood="bernoulli", beta=beta))(
            network, images, None, torch.Generator()
        ).item()
        for beta in (1.0, 3.0)
    ]

    assert losses[0] == pytest.approx(16 * math.log(2) + 2.0, rel=1e-5)
    assert losses[1] == pytest.approx(16 * math.log(2) + 6.0, rel=1e-5)


def test_a_variational_loss_rejects_a_plain_autoencoder() -> None:
    """Only a VariationalAutoencoder has an evidence lower bound."""
    network = Autoencoder(SHAPE, AutoencoderRecipe(channels=(2,), latent_size=1))

    with pytest.raises(TypeError, match="VariationalAutoencoder"):
        variational_loss(VaeRecipe())(network, torch.zeros(1, *SHAPE), None, torch.Generator())


def test_noise_is_clipped_and_reproducible() -> None:
    """Noisy pixels are in [0, 1], and the same seed gives the same noise."""
    images = torch.rand(4, *SHAPE)

    noisy = [add_noise(images, 0.6, torch.Generator().manual_seed(1)) for _ in range(2)]

    assert torch.equal(*noisy)
    assert 0 <= noisy[0].min() <= noisy[0].max() <= 1
    assert not torch.equal(noisy[0], images)


def test_a_denoiser_receives_noisy_inputs_and_clean_targets() -> None:
    """The loss of the identity function is the variance of the noise."""
    images = torch.full((64, *SHAPE), 0.5)  # far from 0 and 1: almost no noise is clipped

    measure = denoising_loss(DenoiserRecipe(noise_factors=(0.1,)))
    loss = measure(nn.Identity(), images, None, torch.Generator().manual_seed(1))

    assert loss.item() == pytest.approx(0.1**2, rel=0.1)


def test_each_image_has_a_random_noise_level() -> None:
    """The loss of the identity function is the mean of the variances."""
    images = torch.full((400, *SHAPE), 0.5)
    loss = denoising_loss(DenoiserRecipe(noise_factors=(0.05, 0.1)))

    value = loss(nn.Identity(), images, None, torch.Generator().manual_seed(1)).item()

    assert value == pytest.approx((0.05**2 + 0.1**2) / 2, rel=0.1)


def test_reconstruction_is_the_mean_squared_error_per_pixel() -> None:
    """Black reconstructions of white images have an error of 1."""

    class Black(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.zeros_like(images)

    measure = reconstruction_loss(AutoencoderRecipe())
    loss = measure(Black(), torch.ones(2, *SHAPE), None, torch.Generator())

    assert loss.item() == 1


def test_classification_needs_labels() -> None:
    """Latents without labels are rejected."""
    with pytest.raises(ValueError, match="labels"):
        classification_loss()(nn.Identity(), torch.zeros(1, 2), None, torch.Generator())
