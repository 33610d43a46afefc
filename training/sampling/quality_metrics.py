"""Metrics of sample quality, in the features of a judge and in pixel space.

N samples and M real images of C x H x W pixels; F features of a judge. All distances are Euclidean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.sampling.judge import JudgeOutput
from training.sampling.latents import Floats

Doubles: TypeAlias = NDArray[np.float64]

NEIGHBOURS = 5
"""k of density, coverage, precision and recall."""
MIN_CONFIDENCE = 0.9
"""A sample is recognisable if its most probable class has at least this probability."""

_CLASS_SHARE = 0.01
_NEAR_PERCENTILE = 1.0
_BLOCK = 1024
_MIN_DISTANCE = 1e-9
# Excludes images on the surface of a ball even if their distance is rounded down.
_INSIDE = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Features:
    """The judge's features of some images, with their nearest neighbour distances."""

    values: Doubles
    """(N, F)."""
    radii: Doubles
    """(N,) squared distance of each row to its k-th nearest other row."""

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Compute the distances between (N, F) features; N must be greater than `NEIGHBOURS`."""
        exact = values.astype(np.float64)
        radii = [
            # The nearest row is the row itself. The copy releases the block.
            np.partition(block, NEIGHBOURS, axis=1)[:, NEIGHBOURS].copy()
            for block in _squared_distances(exact, exact)
        ]
        return cls(exact, np.concatenate(radii))


class NeighbourMetrics(NamedTuple):
    """Fidelity and diversity of samples.

    The ball of an image has the distance to its k-th nearest neighbour as its radius.
    """

    density: float
    """Mean number of real balls that contain a sample, divided by k; 1 for real images."""
    coverage: float
    """Share of real balls that contain a sample, 0 to 1."""
    precision: float
    """Share of samples in at least one real ball, 0 to 1."""
    recall: float
    """Share of real images in at least one ball of a sample, 0 to 1."""


class Memorisation(NamedTuple):
    """Distances of samples to training images, relative to those of test images."""

    ratio: float
    """Median distance of a sample to its nearest training image, divided by that of test images:
    0 for copies, about 1 for new images."""
    near: float
    """Share of samples nearer than 99 % of the test images, 0 to 1; 0.01 for new images."""


def measure_recognition(output: JudgeOutput) -> tuple[float, int]:
    """Return the share of recognisable samples and the number of classes among them.

    A class counts if it has at least 1 % of the recognisable samples.
    """
    recognisable = output.probabilities.max(axis=1) >= MIN_CONFIDENCE
    if not recognisable.any():
        return 0.0, 0
    counts = np.bincount(output.probabilities[recognisable].argmax(axis=1))
    classes = int((counts >= _CLASS_SHARE * recognisable.sum()).sum())
    return float(recognisable.mean()), classes


def measure_frechet(samples: Doubles, real: Doubles) -> float:
    """Return the squared Frechet distance between normal distributions fitted to features.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, with the judge's features
    instead of Inception's: values of different judges, or of very different N, are incomparable.
    The trace of the root of AB, for covariances A and B, is computed as the sum of the roots of the
    eigenvalues of A**0.5 B A**0.5. That matrix is symmetric, so the roots are real for any rank.

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


def measure_neighbours(samples: Features, real: Features) -> NeighbourMetrics:
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
    return NeighbourMetrics(
        balls / (NEIGHBOURS * count),
        float(covered.mean()),
        precise / count,
        float(recalled.mean()),
    )


def measure_nearest(images: Floats, training: NDArray[np.uint8]) -> Floats:
    """Return the pixel-space distance of each image to its nearest training image, (N,).

    Args:
        images: (N, C, H, W) in [0, 1].
        training: (M, C, H, W), 0 to 255.
    """
    rows = images.reshape(len(images), -1)
    norms = np.square(rows).sum(axis=1)
    nearest = np.full(len(images), np.inf, dtype=np.float32)
    for start in range(0, len(training), _BLOCK):  # in chunks: pixels may be a memory map
        chunk = training[start : start + _BLOCK].reshape(-1, rows.shape[1]).astype(np.float32) / 255
        squared = np.square(chunk).sum(axis=1) - 2 * rows @ chunk.T  # (N, _BLOCK)
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    distances: Floats = np.sqrt(np.maximum(nearest + norms, 0))
    return distances


def compare_nearest(samples: Floats, test: Floats) -> Memorisation:
    """Compare distances to the nearest training image, (N,) of samples and (M,) of test images.

    Blurred images are nearer to all images than sharp ones. The ratio of an autoencoder's samples
    is therefore below 1 even without copies.
    """
    typical = max(float(np.median(test)), _MIN_DISTANCE)
    near = samples < np.percentile(test, _NEAR_PERCENTILE)
    return Memorisation(float(np.median(samples)) / typical, float(near.mean()))


def _squared_distances(first: Doubles, second: Doubles) -> Iterator[Doubles]:
    """Yield the squared distances of all rows of `first` to `second`, `_BLOCK` rows at a time."""
    norms = np.square(second).sum(axis=1)
    for start in range(0, len(first), _BLOCK):
        part = first[start : start + _BLOCK]
        squared = np.square(part).sum(axis=1)[:, None] + norms - 2 * part @ second.T
        yield np.maximum(squared, 0, out=squared)
