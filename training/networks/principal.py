"""Principal subspaces, and the fixed affine maps from and to their codes.

N images of C x H x W pixels in [0, 1]; P values of an image whose sides are divided by `pool`; L
latent dimensions.
"""

import math
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Floats: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W)."""

_MAX_BYTES = 13_000_000


@dataclass(frozen=True, slots=True)
class Subspace:
    """The first L principal components of images, in the order of their variance."""

    mean: Floats
    """(P,) mean image."""
    components: Floats
    """(L, P) orthonormal rows."""
    variances: Floats
    """(L,) variance along each component, descending."""
    total_variance: float
    """Variance summed over all P pixels."""

    def head(self, size: int) -> Self:
        """Return the subspace of the first `size` components."""
        return type(self)(
            self.mean, self.components[:size], self.variances[:size], self.total_variance
        )

    @property
    def noise_variance(self) -> float:
        """Mean variance of the omitted directions: the noise of probabilistic PCA, Tipping 1999."""
        omitted = max(len(self.mean) - len(self.variances), 1)
        rest = max(self.total_variance - float(self.variances.sum()), 0.0)
        return max(rest / omitted, 1e-8)


def choose_pool(image: Shape, latent_size: int) -> int:
    """Return the factor by which an affine map reduces images, so that it has at most 13 MB.

    1 for 64 x 64 colour images and up to 512 latents, whose map is then exactly PCA.
    """
    pool = 1
    while 2 * latent_size * math.prod(reduce_shape(image, pool)) > _MAX_BYTES:
        pool += 1
    return pool


def reduce_shape(image: Shape, pool: int) -> Shape:
    """Return (C, H / pool, W / pool), rounded up."""
    return image[0], -(-image[1] // pool), -(-image[2] // pool)


def reduce_images(images: Tensor, pool: int) -> Tensor:
    """Return the means of pool x pool blocks: (N, C, H, W) -> (N, C, H / pool, W / pool)."""
    if pool == 1:
        return images
    return functional.avg_pool2d(images, pool, ceil_mode=True, count_include_pad=False)


class PixelsToCodes(nn.Module):
    """An affine map from pixels to latents, stored in half precision.

    Its weights are fixed: Adam's step on weights of 3,072 equal inputs is so large that trained
    ones lost the start within 100 steps (0.0085 against 0.0080 of fixed ones, CIFAR-10).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, image: Shape, latent_size: int) -> None:
        """Create a map to zeros."""
        super().__init__()
        self.pool = choose_pool(image, latent_size)
        values = math.prod(reduce_shape(image, self.pool))
        self.register_buffer("weight", torch.zeros(latent_size, values, dtype=torch.half))
        self.register_buffer("bias", torch.zeros(latent_size))

    def set_rows(self, rows: Floats, mean: Floats) -> None:
        """Map images x to rows (x - mean); rows (L, P), mean (P,)."""
        self.weight.copy_(torch.from_numpy(rows))
        self.bias.copy_(-(self.weight.float() @ torch.from_numpy(mean)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents, in float32 inside autocast too."""
        with torch.autocast(images.device.type, enabled=False):
            rows = reduce_images(images.float(), self.pool).flatten(1)  # (N, C, H, W) -> (N, P)
            return functional.linear(rows, self.weight.float(), self.bias)  # -> (N, L)


class CodesToPixels(nn.Module):
    """An affine map from latents to images, stored in half precision; fixed as `PixelsToCodes`."""

    weight: Tensor
    bias: Tensor

    def __init__(self, image: Shape, latent_size: int) -> None:
        """Create a map to zeros."""
        super().__init__()
        self.sides = image[1:]
        self.reduced = reduce_shape(image, choose_pool(image, latent_size))
        values = math.prod(self.reduced)
        self.register_buffer("weight", torch.zeros(values, latent_size, dtype=torch.half))
        self.register_buffer("bias", torch.zeros(values))

    def set_columns(self, columns: Floats, mean: Floats) -> None:
        """Map latents z to columns z + mean; columns (P, L), mean (P,)."""
        self.weight.copy_(torch.from_numpy(columns))
        self.bias.copy_(torch.from_numpy(mean))

    def forward(self, latents: Tensor) -> Tensor:
        """Return images, in float32 inside autocast too."""
        with torch.autocast(latents.device.type, enabled=False):
            rows = functional.linear(latents.float(), self.weight.float(), self.bias)  # -> (N, P)
            images = rows.reshape(-1, *self.reduced)
            if self.reduced[1:] == self.sides:
                return images  # (N, C, H, W)
            return functional.interpolate(images, self.sides, mode="bilinear")
