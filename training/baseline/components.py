"""Principal components of training images, and the code size that they suggest.

N images of C x H x W pixels, P = C*H*W; L latent dimensions.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from training.data.splits import Pixels
from training.networks.principal import Floats, Subspace, reduce_images
from training.randomness import derive_seed32, make_rng

MAX_SIZE = 512
"""Largest number of latents that the spectrum selects."""
_MIN_SIZE = 8
_MAX_IMAGES = 20_000
_MAX_VALUES = 120_000_000  # 480 MB as float32
_ITERATIONS = 4  # of the randomised SVD: Halko, Martinsson and Tropp, 2011


def fit_subspace(pixels: Pixels, size: int, seed: int, pool: int = 1) -> Subspace:
    """Fit the first `size` principal components of images by a randomised SVD.

    Args:
        pixels: (N, C, H, W); at most 20,000 of them or 480 MB are read, a random sample.
        size: Number of components; limited to N - 1 and P, and the rest is 0.
        seed: The recipe's seed.
        pool: Factor by which images are reduced first.
    """
    rows = _sample_rows(pixels, seed, pool)
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows -= mean
    total = float(np.einsum("np,np->", rows, rows, dtype=np.float64)) / max(len(rows) - 1, 1)
    limit = max(min(size, len(rows) - 1, rows.shape[1]), 1)
    _, singular, components = randomized_svd(
        rows, limit, n_iter=_ITERATIONS, random_state=derive_seed32(seed, "baseline")
    )
    variances = np.zeros(size, np.float32)
    variances[:limit] = singular**2 / max(len(rows) - 1, 1)
    padded = np.zeros((size, rows.shape[1]), np.float32)
    padded[:limit] = components
    return Subspace(mean, padded, variances, total)


def choose_size(subspace: Subspace, share: float) -> int:
    """Return the number of components with this share of the variance, between 8 and 512."""
    shares = np.cumsum(subspace.variances, dtype=np.float64) / max(subspace.total_variance, 1e-12)
    size = int(np.searchsorted(shares, share)) + 1
    available = max(int((subspace.variances > 0).sum()), 1)
    return min(max(size, _MIN_SIZE), MAX_SIZE, available)


def project(subspace: Subspace, pixels: Pixels) -> Floats:
    """Return the principal components (N, L) of uint8 images (N, C, H, W), in chunks."""
    chunks = [
        (_to_rows(pixels[start : start + 1024]) - subspace.mean) @ subspace.components.T
        for start in range(0, len(pixels), 1024)
    ]
    return np.concatenate(chunks)


def restore(subspace: Subspace, codes: Floats) -> Floats:
    """Return the images (N, P) of principal components (N, L), clipped to [0, 1]."""
    images: Floats = np.clip(codes @ subspace.components + subspace.mean, 0, 1)
    return images


def _to_rows(pixels: Pixels) -> Floats:
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)


def _sample_rows(pixels: Pixels, seed: int, pool: int) -> Floats:
    values = int(np.prod(pixels.shape[1:])) // pool**2
    count = min(len(pixels), _MAX_IMAGES, max(_MAX_VALUES // max(values, 1), 100))
    chosen: NDArray[np.int64] = np.arange(len(pixels))
    if count < len(pixels):
        rng = make_rng(seed, "baseline", "sample")
        chosen = np.sort(rng.choice(len(pixels), count, replace=False))
    chunks = [
        reduce_images(torch.from_numpy(pixels[part]).float() / 255, pool).flatten(1).numpy()
        for part in np.array_split(chosen, -(-count // 1024))
    ]
    return np.concatenate(chunks)
