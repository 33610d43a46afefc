"""Autoencoders that start as PCA and learn what PCA leaves: fixed affine maps plus convolutions.

The last layer of each convolutional branch is zero at first, so step 0 is PCA (for a VAE
probabilistic PCA) and training can only improve on it. There is no dense hidden layer and no batch
normalisation. N images of C x H x W pixels in [0, 1]; L latent dimensions; D values of a latent's
distribution (L, or 2 L for a VAE); w channels at the working resolution h x w.
"""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.principal import CodesToPixels, PixelsToCodes, Shape, Subspace
from training.recipe.schema import AutoencoderRecipe

_MAX_SIDE = 24  # at the working resolution: a 64 x 64 image is 16 x 16 blocks of 4 x 4 pixels
_HALVINGS = 4  # two stride-2 convolutions follow
_Layer = TypeVar("_Layer", bound=nn.Module)

_TYPICAL_DEVIATION = 0.25  # of pixels in [0, 1], from the mean image
_MIN_CONTRAST = 0.1
_LOG_VARIANCE_RANGE = (-12.0, 6.0)  # keeps exp(log_variance) and its loss finite in float32


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, added to their input; the identity at first (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        """Create the convolutions."""
        super().__init__()
        last = _zero(nn.Conv2d(channels, channels, 3, padding=1))
        first = nn.Conv2d(channels, channels, 3, padding=1)
        self.branch = nn.Sequential(nn.ReLU(), first, nn.ReLU(), last)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape (N, c, h, w)."""
        return maps + self.branch(maps)  # type: ignore[no-any-return]


class Geometry:
    """The sizes of the convolutional branches for images of shape (C, H, W)."""

    def __init__(self, image: Shape, width: int) -> None:
        """Choose the block of pixels that becomes one position of the working resolution."""
        channels, height, self.image_width = image
        self.block = 1
        while max(height, self.image_width) > _MAX_SIDE * self.block:
            self.block *= 2
        unit = self.block * _HALVINGS
        self.image_height, self.channels, self.width = height, channels, width
        self.padding = (0, -self.image_width % unit, 0, -height % unit)
        """Columns and rows that are added on the right and below."""
        self.rows = (height + self.padding[3]) // unit
        self.columns = (self.image_width + self.padding[1]) // unit
        """Sides of the coarsest maps."""
        self.flat = 2 * width * self.rows * self.columns

    def pad(self, images: Tensor) -> Tensor:
        """Return images whose sides are multiples of 4 blocks."""
        if not any(self.padding):
            return images
        return functional.pad(images, self.padding, mode="replicate")

    def crop(self, images: Tensor) -> Tensor:
        """Return padded images without the padding."""
        return images[:, :, : self.image_height, : self.image_width]

    def unshuffle(self) -> nn.Sequential:
        """Return a layer from padded images to w channels at the working resolution."""
        inputs = self.channels * self.block**2
        return nn.Sequential(
            nn.PixelUnshuffle(self.block), nn.Conv2d(inputs, self.width, 3, padding=1)
        )


class Contrast(nn.Module):
    """The contrast of an image, by which branches normalise their inputs and scale their outputs.

    They need not learn that a darker or paler picture has the same shapes: 0.00796 instead of
    0.00805 after 110 steps (CIFAR-10, validation).
    """

    gains: Tensor

    def __init__(self, latent_size: int) -> None:
        """Create a contrast whose scale `start` sets."""
        super().__init__()
        self.register_buffer("gains", torch.ones(latent_size))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the deviation of each image of latents (N, L), in typical deviations: (N, 1)."""
        deviation = (self.gains * latents.float()).square().sum(dim=1, keepdim=True).sqrt()
        return (deviation / _TYPICAL_DEVIATION).clamp(min=_MIN_CONTRAST)


class FeatureTrunk(nn.Module):
    """The convolutions of an encoder: (N, C, H, W) -> (N, 2 w, h/4, w/4)."""

    def __init__(self, image: Shape, width: int, blocks: int) -> None:
        """Create the convolutions for images of shape (C, H, W)."""
        super().__init__()
        self.geometry = Geometry(image, width)
        self.layers = nn.Sequential(
            self.geometry.unshuffle(),
            *_stack(width, blocks),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            *_stack(2 * width, blocks),
            nn.Conv2d(2 * width, 2 * width, 4, 2, 1),
            *_stack(2 * width, blocks),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the last maps."""
        maps: Tensor = self.layers(self.geometry.pad(images))
        return maps


class ResidualEncoder(nn.Module):
    """Maps images to latents: a projection onto principal components, plus convolutions."""

    scales: Tensor

    def __init__(self, image: Shape, recipe: AutoencoderRecipe, outputs: int = 1) -> None:
        """Create the encoder; `outputs` is 2 for means and log-variances."""
        super().__init__()
        width, blocks = _sizes(recipe)
        self.latent_size = recipe.latent_size
        self.linear = PixelsToCodes(image, recipe.latent_size)
        self.contrast = Contrast(recipe.latent_size)
        self.register_buffer("scales", torch.ones(recipe.latent_size))
        trunk = FeatureTrunk(image, width, blocks)
        last = _zero(nn.Linear(trunk.geometry.flat, outputs * recipe.latent_size))
        self.branch: nn.Sequential | None = nn.Sequential(trunk, nn.Flatten(), last)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents."""
        codes: Tensor = self.linear(images)  # (N, C, H, W) -> (N, L)
        if self.branch is None:
            return codes
        corrections, contrast = self.correct(images, codes)
        return codes + self.scales * contrast * corrections

    def correct(self, images: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the branch's outputs (N, D) for images and their codes, and the contrasts."""
        assert self.branch is not None  # noqa: S101 - callers have checked it
        contrast = self.contrast(codes)  # (N, 1)
        scale = _TYPICAL_DEVIATION * contrast[:, :, None, None]
        outputs: Tensor = self.branch((images - self.linear.mean) / scale)  # -> (N, D)
        return outputs.float(), contrast


class ResidualVariationalEncoder(ResidualEncoder):
    """Maps images to the mean and log-variance of a normal distribution over latents."""

    def __init__(self, image: Shape, recipe: AutoencoderRecipe) -> None:
        """Create an encoder with two outputs."""
        super().__init__(image, recipe, outputs=2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the means and log-variances, each (N, L)."""
        codes: Tensor = self.linear(images)  # (N, C, H, W) -> (N, L)
        outputs, contrast = self.correct(images, codes)
        corrections, log_variances = outputs.chunk(2, dim=1)  # (N, L) each
        return codes + contrast * corrections, log_variances.clamp(*_LOG_VARIANCE_RANGE)


class RefinementBranch(nn.Module):
    """The convolutions of a decoder: (N, L) latents and (N, C, H, W) drafts -> (N, C, H, W)."""

    def __init__(self, geometry: Geometry, recipe: AutoencoderRecipe) -> None:
        """Create the convolutions."""
        super().__init__()
        width, blocks = _sizes(recipe)
        self.geometry = geometry
        self.dense = nn.Linear(recipe.latent_size, geometry.flat)
        self.coarse = nn.Sequential(
            *_stack(2 * width, blocks),
            nn.Conv2d(2 * width, 8 * width, 1),
            nn.PixelShuffle(2),
            *_stack(2 * width, blocks),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
        )
        self.draft: nn.Sequential = geometry.unshuffle()
        outputs = geometry.channels * geometry.block**2
        self.fine = nn.Sequential(
            *_stack(width, blocks),
            nn.ReLU(),
            _zero(nn.Conv2d(width, outputs, 3, padding=1)),
            nn.PixelShuffle(geometry.block),
        )

    def forward(self, latents: Tensor, draft: Tensor) -> Tensor:
        """Return what the convolutions add to `draft`."""
        size = self.geometry
        rows = self.dense(latents)  # (N, L) -> (N, flat)
        maps = rows.reshape(-1, 2 * size.width, size.rows, size.columns)
        refined: Tensor = self.coarse(maps) + self.draft(size.pad(draft))  # -> (N, w, h, w)
        return size.crop(self.fine(refined)).float()  # -> (N, C, H, W)


class ResidualDecoder(nn.Module):
    """Maps latents to images: principal components, plus convolutions that refine their sum."""

    scales: Tensor

    def __init__(self, image: Shape, recipe: AutoencoderRecipe) -> None:
        """Create the decoder for images of shape (C, H, W)."""
        super().__init__()
        geometry = Geometry(image, _sizes(recipe)[0])
        self.linear = CodesToPixels(image, recipe.latent_size)
        self.contrast = Contrast(recipe.latent_size)
        self.register_buffer("scales", torch.ones(recipe.latent_size))
        self.branch: RefinementBranch | None = RefinementBranch(geometry, recipe)

    def forward(self, latents: Tensor) -> Tensor:
        """Return images, in [0, 1] except in training, where clipping would stop gradients."""
        deviations: Tensor = self.linear(latents)  # (N, L) -> (N, C, H, W)
        if self.branch is not None:
            contrast = self.contrast(latents)  # (N, 1)
            scale = _TYPICAL_DEVIATION * contrast[:, :, None, None]
            refined = self.branch(latents / (self.scales * contrast), deviations / scale)
            deviations = deviations + scale * refined
        images = self.linear.mean + deviations
        return images if self.training else images.clamp(0, 1)


def start_autoencoder(
    encoder: ResidualEncoder, decoder: ResidualDecoder, subspace: Subspace
) -> None:
    """Set both parts to PCA. Latents have a mean variance of 1, and the distances of images."""
    unit = math.sqrt(max(float(subspace.variances.mean()), 1e-12))
    encoder.linear.set_map(subspace.components / np.float32(unit), subspace.mean)
    decoder.linear.set_map(subspace.components * np.float32(unit), subspace.mean)
    scales = torch.from_numpy(subspace.variances).sqrt().clamp(min=1e-6) / unit
    for part in (encoder, decoder):
        part.scales.copy_(scales)
        part.contrast.gains.fill_(unit / math.sqrt(len(subspace.mean)))


def start_variational(
    encoder: ResidualVariationalEncoder, decoder: ResidualDecoder, subspace: Subspace
) -> float:
    """Set both parts to probabilistic PCA, and return the logarithm of its pixel scale.

    It maximises the likelihood among linear VAEs: Tipping and Bishop, 1999; Lucas et al., Don't
    Blame the ELBO, 2019.
    """
    noise = np.float32(subspace.noise_variance)
    variances = subspace.variances.clip(min=np.float32(1.0001) * noise)
    kept = variances - noise
    rows = subspace.components * (np.sqrt(kept) / variances)[:, None]
    encoder.linear.set_map(rows, subspace.mean)
    decoder.linear.set_map(subspace.components * np.sqrt(kept)[:, None], subspace.mean)
    gains = torch.from_numpy(np.sqrt(kept / len(subspace.mean)))
    for part in (encoder, decoder):
        part.contrast.gains.copy_(gains)
    biases = dict(encoder.named_parameters())["branch.2.bias"]
    with torch.no_grad():
        biases[len(variances) :] = torch.from_numpy(noise / variances).log()
    return math.log(noise) / 2


def drop_refinement(encoder: nn.Module, decoder: nn.Module) -> None:
    """Remove the convolutions of an autoencoder that remained PCA."""
    if not isinstance(encoder, ResidualEncoder) or not isinstance(decoder, ResidualDecoder):
        return
    encoder.branch = decoder.branch = None


def is_plain(decoder: nn.Module) -> bool:
    """Return whether a decoder is PCA, without convolutions."""
    return isinstance(decoder, ResidualDecoder) and decoder.branch is None


def _sizes(recipe: AutoencoderRecipe) -> tuple[int, int]:
    """Return the channels w and the blocks per resolution."""
    return (recipe.channels or (32,))[0], 1


def _stack(channels: int, blocks: int) -> list[nn.Module]:
    return [ResidualBlock(channels) for _ in range(blocks)]


def _zero(layer: _Layer) -> _Layer:
    """Set a layer's weights and bias to 0, and return it."""
    for weights in layer.parameters():
        nn.init.zeros_(weights)
    return layer
