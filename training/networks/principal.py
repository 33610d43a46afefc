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


class AffineMap(nn.Module):
    """Base of the two maps: a matrix in half precision, and the mean image.

    The weights are fixed: Adam's step on weights of 3,072 equal inputs is so large that trained
    ones lost the start within 100 steps (0.0085 against 0.0080 of fixed ones, CIFAR-10).
    """

    weight: Tensor
    mean: Tensor

    def __init__(self, image: Shape, latent_size: int) -> None:
        """Create a map to zeros for images of shape (C, H, W)."""
        super().__init__()
        self.sides = image[1:]
        self.pool = choose_pool(image, latent_size)
        self.reduced = reduce_shape(image, self.pool)
        weight = torch.zeros(latent_size, math.prod(self.reduced), dtype=torch.half)
        self.register_buffer("weight", weight)
        self.register_buffer("mean", torch.zeros(image))

    def set_map(self, weight: Floats, mean: Floats) -> None:
        """Set the matrix (L, P) and the mean (P,)."""
        self.weight.copy_(torch.from_numpy(weight))
        self.mean.copy_(self.enlarge(torch.from_numpy(mean).reshape(1, *self.reduced))[0])

    def enlarge(self, images: Tensor) -> Tensor:
        """Return reduced images in full size."""
        if self.reduced[1:] == self.sides:
            return images
        return functional.interpolate(images, self.sides, mode="bilinear")


class PixelsToCodes(AffineMap):
    """Maps images x to weight (x - mean) + bias."""

    bias: Tensor

    def __init__(self, image: Shape, latent_size: int) -> None:
        """Create a map to zeros for images of shape (C, H, W)."""
        super().__init__(image, latent_size)
        self.register_buffer("bias", torch.zeros(latent_size))

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents, in float32 inside autocast too."""
        with torch.autocast(images.device.type, enabled=False):
            rows = reduce_images(images.float() - self.mean, self.pool).flatten(1)  # -> (N, P)
            return functional.linear(rows, self.weight.float(), self.bias)  # -> (N, L)


class CodesToPixels(AffineMap):
    """Maps latents z to z weight, the deviations of images from the mean."""

    def forward(self, latents: Tensor) -> Tensor:
        """Return the deviations, in float32 inside autocast too."""
        with torch.autocast(latents.device.type, enabled=False):
            rows = latents.float() @ self.weight.float()  # (N, L) -> (N, P)
            return self.enlarge(rows.reshape(-1, *self.reduced))  # -> (N, C, H, W)
