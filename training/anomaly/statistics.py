"""Detectors that are statistics of normal images: they need no gradient steps."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from service.artifact.detectors.neighbours import reduce_images
from service.artifact.detectors.reconstruction import smooth_errors
from training.data.splits import Pixels
from training.networks.patch_density import PATCH, STRIDE, PatchDensity
from training.randomness import make_rng

Floats = NDArray[np.float32]

_FEATURES = 32
_MAX_PATCHES = 10_000
_POOLED_WEIGHT = 64
"""Images that the covariance of all places counts for, beside that of one place."""
_RIDGE = 0.05
_MAX_NEIGHBOUR_BYTES = 384 * 1024
_DEVIATION_FLOOR = 0.2


def fit_patch_density(pixels: Pixels, seed: int) -> PatchDensity:
    """Fit the principal components of patches, and a normal distribution for each place.

    Args:
        pixels: (N, C, H, W) uint8 normal images.
        seed: The recipe's seed.
    """
    channels, height, width = pixels.shape[1:]
    size = min(_FEATURES, channels * PATCH * PATCH)
    network = PatchDensity((channels, height, width), size)
    images = torch.from_numpy(pixels).float() / 255
    reduced = network.reduce(images)
    components = _find_components(_draw_patches(reduced, seed), size)
    network.filters.copy_(components.reshape(network.filters.shape))
    maps = functional.conv2d(reduced, network.filters, None, STRIDE, PATCH // 2)
    features = maps.flatten(2).permute(2, 0, 1).double()  # -> (h*w, N, k)
    means = features.mean(dim=1, keepdim=True)
    centred = features - means
    places = centred.transpose(1, 2) @ centred  # -> (h*w, k, k) sums of squares
    pooled = places.mean(dim=0) / len(pixels)
    covariances = (places + _POOLED_WEIGHT * pooled) / (len(pixels) + _POOLED_WEIGHT)
    ridge = _RIDGE * pooled.diagonal().mean().clamp(min=1e-6)
    factors = torch.linalg.cholesky(covariances + ridge * torch.eye(size, dtype=torch.float64))
    eye = torch.eye(size, dtype=torch.float64).expand_as(factors)
    inverse = torch.linalg.solve_triangular(factors, eye, upper=False)
    network.means.copy_(means.transpose(1, 2))
    network.factors.copy_(inverse)
    return network.eval()


def choose_neighbours(pixels: Pixels, seed: int) -> Pixels:
    """Return as many reduced normal images as fit into 384 KiB, drawn at random: (M, D) uint8."""
    order = make_rng(seed, "neighbours").permutation(len(pixels))
    size = reduce_images(pixels[:1].astype(np.float32)).shape[1]
    chosen = pixels[np.sort(order[: max(1, _MAX_NEIGHBOUR_BYTES // size)])]
    return np.rint(reduce_images(chosen.astype(np.float32))).astype(np.uint8)


def measure_errors(images: Floats, reconstructions: Floats) -> tuple[Floats, Floats]:
    """Return the mean (H, W) and the deviation (H, W) of the smoothed errors of normal images."""
    errors = smooth_errors(images, reconstructions)
    mean, deviation = errors.mean(axis=0), errors.std(axis=0)
    floor = max(_DEVIATION_FLOOR * float(deviation.mean()), 1e-9)
    return mean, (deviation + floor).astype(np.float32)


def _draw_patches(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Return random patches (M, C * PATCH * PATCH) of images (N, C, H, W), with zero padding."""
    rng = make_rng(seed, "patches")
    height, width = images.shape[2:]
    padded = functional.pad(images, (PATCH // 2,) * 4)
    count = min(_MAX_PATCHES, len(images) * height * width)
    places = rng.integers((len(images), height, width), size=(count, 3))
    patches = [padded[n, :, r : r + PATCH, c : c + PATCH].flatten() for n, r, c in places]
    return torch.stack(patches)


def _find_components(patches: torch.Tensor, size: int) -> torch.Tensor:
    """Return the first principal components (size, D) of patches (M, D)."""
    centred = patches.double() - patches.double().mean(dim=0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    components: torch.Tensor = vectors[:, -size:].T.flip(0).float()
    return components
