"""Networks that start at PCA: exact at step 0, for every shape, and trainable."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.baseline.components import fit_subspace
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.layers import Shape
from training.networks.principal import Subspace, choose_pool
from training.recipe.schema import AutoencoderRecipe, VaeRecipe

SIZE = 6


def draw(image: Shape, count: int = 40) -> np.ndarray:
    """Return smooth random images (count, C, H, W) uint8."""
    rng = np.random.default_rng(0)
    channels, height, width = image
    coarse = rng.uniform(0, 255, (count, channels, 3, 3))
    rows = np.linspace(0, 2, height).round().astype(int)
    columns = np.linspace(0, 2, width).round().astype(int)
    return coarse[:, :, rows][:, :, :, columns].astype(np.uint8)


def to_float(pixels: np.ndarray) -> Tensor:
    """Return pixels as float32 in [0, 1]."""
    return torch.from_numpy(pixels).float() / 255


def restore(subspace: Subspace, images: Tensor) -> Tensor:
    """Return PCA's reconstructions."""
    rows = images.flatten(1).numpy() - subspace.mean
    restored = rows @ subspace.components.T @ subspace.components + subspace.mean
    return torch.from_numpy(restored).reshape(images.shape)


@pytest.mark.parametrize(
    "image", [(1, 8, 8), (3, 28, 28), (1, 30, 17), (3, 72, 40), (1, 128, 100), (3, 5, 90)]
)
def test_step_zero_is_pca(image: Shape) -> None:
    """Reconstructions equal those of PCA within half precision, for any sides."""
    pixels = draw(image)
    subspace = fit_subspace(pixels, SIZE, 0)
    recipe = AutoencoderRecipe(architecture="residual", channels=(4,), latent_size=SIZE)

    network = Autoencoder(image, recipe, subspace).eval()

    with torch.no_grad():
        output = network(to_float(pixels))
    expected = restore(subspace, to_float(pixels)).clamp(0, 1)
    assert output.shape == (40, *image)
    assert torch.allclose(output, expected, atol=5e-3)


def test_latents_have_unit_mean_variance_and_the_distances_of_images() -> None:
    """Latents are principal components in one common unit."""
    pixels = draw((1, 16, 16), 200)
    subspace = fit_subspace(pixels, SIZE, 0)
    recipe = AutoencoderRecipe(architecture="residual", channels=(4,), latent_size=SIZE)
    network = Autoencoder((1, 16, 16), recipe, subspace)

    with torch.no_grad():
        latents = network.encoder(to_float(pixels))

    assert latents.var(dim=0).mean().item() == pytest.approx(1, rel=0.01)
    ratio = latents.var(dim=0) / torch.from_numpy(subspace.variances)
    assert torch.allclose(ratio, ratio[0].expand(SIZE), rtol=0.02)


def test_a_vae_starts_at_probabilistic_pca() -> None:
    """Its means, variances and scale are those of the maximum likelihood, Tipping and Bishop."""
    pixels = draw((1, 16, 16), 200)
    subspace = fit_subspace(pixels, SIZE, 0)
    recipe = VaeRecipe(architecture="residual", channels=(4,), latent_size=SIZE)

    network = VariationalAutoencoder((1, 16, 16), recipe, subspace).eval()

    with torch.no_grad():
        means, log_variances = network.encoder(to_float(pixels))
    noise = subspace.noise_variance
    assert network.log_scale.exp().item() == pytest.approx(noise**0.5, rel=1e-3)
    expected = torch.from_numpy(noise / subspace.variances)
    assert torch.allclose(log_variances.exp(), expected.expand(200, SIZE), rtol=1e-3)
    # The aggregated posterior is the prior: variance of means plus posterior variance is 1.
    assert torch.allclose(means.var(dim=0) + expected, torch.ones(SIZE), atol=0.02)


def test_every_weight_of_the_branches_can_learn() -> None:
    """After a few steps every trainable tensor has changed; the fixed maps have not."""
    pixels = draw((1, 16, 16))
    recipe = AutoencoderRecipe(architecture="residual", channels=(4,), latent_size=2)
    network = Autoencoder((1, 16, 16), recipe, fit_subspace(pixels, 2, 0))
    before = {name: part.clone() for name, part in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)

    for _ in range(4):
        optimizer.zero_grad()
        (network(to_float(pixels)) - to_float(pixels)).square().mean().backward()
        optimizer.step()

    trainable = {name for name, _ in network.named_parameters()}
    for name, part in network.state_dict().items():
        assert torch.equal(part, before[name]) == (name not in trainable), name


def test_affine_maps_have_at_most_13_megabytes() -> None:
    """Large images are reduced; 64 x 64 in colour with 512 latents are not."""
    assert choose_pool((3, 64, 64), 512) == 1
    assert choose_pool((3, 256, 256), 200) == 3
    network = Autoencoder(
        (3, 256, 256), AutoencoderRecipe(architecture="residual", latent_size=200)
    )
    buffers = dict(network.named_buffers())
    assert buffers["encoder.linear.weight"].numel() * 2 <= 13_000_000
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)
