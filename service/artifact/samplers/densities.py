"""Distributions over latent codes: their stored parameters and how to draw from them.

To add a fitted sampler: write a class here, add it to `STORED_SAMPLERS`, and add its fit to
`training.sampling.samplers`.

Letters: N codes of L numbers, K classes, M components, A axes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.artifact.samplers.base import StoredSampler
from service.artifact.samplers.weights import check_weights, draw_indices
from service.artifact.tensor_files import Doubles, Floats, Labels
from service.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Uniform(StoredSampler):
    """A uniform distribution over a box (report 000).

    The temperature scales the sides of the box about its centre.
    """

    shapes: ClassVar[Mapping[str, str]] = {"low": "L", "high": "L"}

    low: Floats
    """(L,)."""
    high: Floats
    """(L,) nowhere below `low`."""

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.low > self.high).any():
            index = int((self.low > self.high).argmax())
            raise ArtifactError(
                f"expected low <= high, got {self.low[index]} > {self.high[index]} at {index}"
            )

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        sides = temperature * (high - low)
        offsets = rng.random((count, self.latent_size)) - 0.5
        return ((low + high) / 2 + sides * offsets).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Centroids(StoredSampler):
    """A normal distribution about the mean code of each class (report 002)."""

    shapes: ClassVar[Mapping[str, str]] = {"centroids": "KL", "sigma": "L"}

    centroids: Floats
    """(K, L)."""
    sigma: Floats
    """(L,) standard deviation about each centroid; 0 or more."""

    @property
    def classes(self) -> frozenset[int]:
        """All K classes."""
        return frozenset(range(len(self.centroids)))

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.sigma < 0).any():
            raise ArtifactError(f"expected a sigma of 0 or more, got {self.sigma.min()}")

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`; without a label all classes are equally likely."""
        classes = (
            rng.integers(len(self.centroids), size=count)
            if label is None
            else np.full(count, label)
        )
        noise = rng.standard_normal((count, self.latent_size))
        return (self.centroids[classes] + temperature * self.sigma * noise).astype(np.float32)


@dataclass(frozen=True, slots=True)
class KernelDensity(StoredSampler):
    """A Gaussian kernel density estimate over latent codes (report 003).

    A draw is a random code plus `bandwidth * scale` times a standard normal vector (Silverman,
    Density Estimation for Statistics and Data Analysis, 1986, section 6.4.1).
    """

    shapes: ClassVar[Mapping[str, str]] = {"codes": "NL", "scale": "L", "labels": "N"}

    codes: Floats
    """(N, L) centres of the kernels."""
    scale: Floats
    """(L,) length of one unit of bandwidth in each dimension; ones for an isotropic kernel."""
    bandwidth: float
    """Standard deviation of the kernels in units of `scale`; greater than 0."""
    labels: Labels | None = None
    """(N,) class index of each code, for class-conditional draws."""

    @property
    def classes(self) -> frozenset[int]:
        """The classes that the codes belong to; empty without labels."""
        return frozenset() if self.labels is None else frozenset(self.labels.tolist())

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if self.bandwidth <= 0:
            raise ArtifactError(f"expected a bandwidth greater than 0, got {self.bandwidth}")

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        codes = _select_rows(self.codes, self.labels, label)
        centres = codes[rng.integers(len(codes), size=count)]
        spread = temperature * self.bandwidth * self.scale
        return (centres + spread * rng.standard_normal(centres.shape)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ClassKernelDensity(StoredSampler):
    """A kernel density estimate with a bandwidth and a scale for each class."""

    shapes: ClassVar[Mapping[str, str]] = {
        "codes": "NL",
        "labels": "N",
        "scales": "KL",
        "bandwidths": "K",
    }

    codes: Floats
    """(N, L) centres of the kernels."""
    labels: Labels
    """(N,) class index of each code, 0 to K - 1."""
    scales: Floats
    """(K, L) length of one unit of bandwidth for each class and dimension."""
    bandwidths: Doubles
    """(K,) standard deviations in units of `scales`; greater than 0."""

    @property
    def classes(self) -> frozenset[int]:
        """The classes that the codes belong to."""
        return frozenset(self.labels.tolist())

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.bandwidths <= 0).any():
            raise ArtifactError(f"expected bandwidths over 0, got {self.bandwidths.min()}")
        if self.labels.max() >= len(self.scales):
            raise ArtifactError(
                f"expected labels below {len(self.scales)}, the number of scales, "
                f"got {self.labels.max()}"
            )

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        rows = _select_rows(np.arange(len(self.codes)), self.labels, label)
        drawn = rows[rng.integers(len(rows), size=count)]
        noise = rng.standard_normal((count, self.latent_size))
        spread = temperature * self.bandwidths[:, None] * self.scales
        latents: Doubles = self.codes[drawn] + spread[self.labels[drawn]] * noise
        return latents.astype(np.float32)


@dataclass(frozen=True, slots=True)
class ProjectedDensity(StoredSampler):
    """A kernel density estimate in a plane of the latent space, fitted with PCA (report 003)."""

    shapes: ClassVar[Mapping[str, str]] = {"mean": "L", "axes": "AL"}

    density: KernelDensity
    """Over the coordinates of the codes in the plane."""
    mean: Floats
    """(L,) origin of the coordinates."""
    axes: Floats
    """(2, L) unit axes of the coordinates."""

    @property
    def classes(self) -> frozenset[int]:
        """The classes of the density in the plane."""
        return self.density.classes

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if len(self.axes) != self.density.latent_size:
            raise ArtifactError(
                f"expected as many axes as coordinates, {self.density.latent_size}, "
                f"got {len(self.axes)}"
            )

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        coordinates = self.density.draw(count, rng, label, temperature).astype(np.float64)
        return (self.mean + _weighted_sum(coordinates, self.axes)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class GaussianMixture(StoredSampler):
    """A mixture of normal distributions with full covariances."""

    shapes: ClassVar[Mapping[str, str]] = {"weights": "M", "means": "ML", "factors": "MLL"}

    weights: Doubles
    """(M,) probability of each component; the sum is 1."""
    means: Floats
    """(M, L)."""
    factors: Floats
    """(M, L, L) lower Cholesky factors of the covariances."""

    def check(self) -> None:
        """See `TensorRecord.check`."""
        check_weights(self.weights)

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        components = draw_indices(self.weights, count, rng)
        noise = rng.standard_normal((count, self.latent_size))
        columns = (self.factors[components, :, column] for column in range(self.latent_size))
        latents = self.means[components] + temperature * _weighted_sum(noise, columns)
        return latents.astype(np.float32)


def _select_rows(rows: NDArray[Any], labels: Labels | None, label: int | None) -> NDArray[Any]:
    """Return the rows of class `label`; all rows without a label or without classes."""
    return rows if labels is None or label is None else rows[labels == label]


def _weighted_sum(weights: Doubles, vectors: Iterable[Floats]) -> Doubles:
    """Return the sum over j of `weights[:, j]` times vector j, as (N, L).

    A vector is (L,), or (N, L) with one row for each row of `weights`. The order of additions is
    fixed, unlike that of a matrix product, so a seed gives the same latents on every machine.
    """
    total: Doubles = np.zeros(())
    for weight, vector in zip(weights.T, vectors, strict=True):
        total = total + weight[:, None] * vector
    return total
