"""How good samples are: by an independent judge's features, and by how near they lie to copies.

Letters: N samples and M real images of C x H x W pixels; F numbers of a judge's feature vector.
Every distance is Euclidean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.sampling.judge import Verdicts

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]

NEIGHBOURS = 5
"""k of density, coverage, precision and recall."""
SURE = 0.9
"""Least probability of a class with which a sample counts as recognisable."""

_CLASS_SHARE = 0.01
_NEAR_PERCENTILE = 1.0
_BLOCK = 1024
_LEAST = 1e-9
# So that an image on the edge of another's ball is outside whatever the order of summation.
_INSIDE = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Features:
    """Some images as a judge sees them, with what comparisons need of them."""

    values: Doubles
    """(N, F)."""
    radii: Doubles
    """(N,) squared distance of each to its k-th nearest neighbour among the others."""

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Find the neighbours among (N, F) features, N greater than `NEIGHBOURS`."""
        exact = values.astype(np.float64)
        radii = [
            # The 0th is the image itself. A copy, so that the block is not kept.
            np.partition(block, NEIGHBOURS, axis=1)[:, NEIGHBOURS].copy()
            for block in _squared_distances(exact, exact)
        ]
        return cls(exact, np.concatenate(radii))


class Closeness(NamedTuple):
    """How samples fill the space of real images, judged by k nearest neighbours."""

    density: float
    """Mean number of real images' balls that a sample is in, over k; 1 for real images."""
    coverage: float
    """Share of real images with a sample in their ball, 0 to 1."""
    precision: float
    """Share of samples in at least one real image's ball, 0 to 1."""
    recall: float
    """Share of real images in at least one sample's ball, 0 to 1."""


class Memorisation(NamedTuple):
    """How near samples lie to training images, against how near unseen images do."""

    ratio: float
    """Median distance of a sample to its nearest training image, over that of test images: 0 for
    copies, about 1 for images as new as the test images."""
    near: float
    """Share of samples nearer than 99 in 100 test images, 0 to 1; 0.01 for new images."""


def measure_recognition(verdicts: Verdicts) -> tuple[float, int]:
    """Return the share of samples that the judge is sure of, and the number of classes reached.

    A class is reached by one in a hundred of the recognisable samples.
    """
    sure = verdicts.probabilities.max(axis=1) >= SURE
    if not sure.any():
        return 0.0, 0
    counts = np.bincount(verdicts.probabilities[sure].argmax(axis=1))
    return float(sure.mean()), int((counts >= _CLASS_SHARE * sure.sum()).sum())


def measure_frechet(samples: Doubles, real: Doubles) -> float:
    """Return the squared Frechet distance between normal distributions fitted to features.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, with this judge's features
    for Inception's: figures of two judges, or of very different N, cannot be compared. The trace
    of the root of a product of covariances A and B is the sum of the roots of the eigenvalues of
    A**0.5 B A**0.5, which is symmetric: no complex numbers, whatever the rank.

    Args:
        samples: (N, F).
        real: (M, F).
    """
    first, second = (np.cov(features, rowvar=False, ddof=1) for features in (samples, real))
    values, vectors = np.linalg.eigh(second)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ first @ root).clip(0)).sum()
    shift = np.square(samples.mean(axis=0) - real.mean(axis=0)).sum()
    return max(float(shift + np.trace(first) + np.trace(second) - 2 * shared), 0.0)


def measure_closeness(samples: Features, real: Features) -> Closeness:
    """Return density, coverage, precision and recall of samples.

    Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020;
    Kynkaanniemi et al., Improved Precision and Recall Metric, 2019.
    """
    balls, precise = 0, 0
    covered = np.zeros(len(real.values), dtype=bool)
    recalled = np.zeros(len(real.values), dtype=bool)
    start = 0
    for block in _squared_distances(samples.values, real.values):
        inside = block < real.radii * _INSIDE
        balls += int(inside.sum())
        precise += int(inside.any(axis=1).sum())
        covered |= inside.any(axis=0)
        radii = samples.radii[start : start + len(block), None]
        recalled |= (block < radii * _INSIDE).any(axis=0)
        start += len(block)
    count = len(samples.values)
    return Closeness(
        balls / (NEIGHBOURS * count),
        float(covered.mean()),
        precise / count,
        float(recalled.mean()),
    )


def measure_nearest(images: Floats, training: NDArray[np.uint8]) -> Floats:
    """Return each image's distance to its nearest training image, (N,), in pixel space.

    Args:
        images: (N, C, H, W) in [0, 1].
        training: (M, C, H, W), 0 to 255.
    """
    rows = images.reshape(len(images), -1)
    norms = np.square(rows).sum(axis=1)
    nearest = np.full(len(images), np.inf, dtype=np.float32)
    for start in range(0, len(training), _BLOCK):  # by parts: they may be a memory map
        part = training[start : start + _BLOCK].reshape(-1, rows.shape[1]).astype(np.float32) / 255
        squared = np.square(part).sum(axis=1) - 2 * rows @ part.T  # (N, _BLOCK)
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    distances: Floats = np.sqrt(np.maximum(nearest + norms, 0))
    return distances


def compare_nearest(samples: Floats, test: Floats) -> Memorisation:
    """Compare distances to the nearest training image: (N,) of samples and (M,) of test images.

    Blurred images lie nearer to all others than sharp ones do, so that a sampler of an autoencoder
    stays below 1 without having copied anything.
    """
    usual = max(float(np.median(test)), _LEAST)
    near = samples < np.percentile(test, _NEAR_PERCENTILE)
    return Memorisation(float(np.median(samples)) / usual, float(near.mean()))


def _squared_distances(first: Doubles, second: Doubles) -> Iterator[Doubles]:
    """Give the squared distances of `_BLOCK` rows of `first` after another to all of `second`."""
    norms = np.square(second).sum(axis=1)
    for start in range(0, len(first), _BLOCK):
        part = first[start : start + _BLOCK]
        squared = np.square(part).sum(axis=1)[:, None] + norms - 2 * part @ second.T
        yield np.maximum(squared, 0, out=squared)
