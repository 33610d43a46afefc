"""Densities over latent codes, as they are fitted, stored, and drawn from.

Each is a `samplers.StoredSampler`. Letters: N codes of L numbers, K classes, M components.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from service.artifact.tensor_files import Floats, read_tensors
from service.errors import ArtifactError

Doubles: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
Tensors: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class KernelDensity:
    """A Gaussian kernel density estimate over latent codes (report 003).

    A draw is a random code plus `bandwidth * scale` times a standard normal vector (Silverman,
    Density Estimation for Statistics and Data Analysis, 1986, section 6.4.1).
    """

    codes: Floats
    """(N, L) the kernels' centres."""
    scale: Floats
    """(L,) what one unit of bandwidth is in each dimension; ones for an isotropic kernel."""
    bandwidth: float
    """The kernels' standard deviation in units of `scale`; greater than 0."""
    labels: Labels | None = None
    """(N,) each code's class index, for class-conditional draws."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.scale)

    @property
    def classes(self) -> frozenset[int]:
        """The classes that can be drawn from."""
        return frozenset() if self.labels is None else frozenset(self.labels.tolist())

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {
            "codes": np.ascontiguousarray(self.codes, dtype="<f4"),
            "scale": np.ascontiguousarray(self.scale, dtype="<f4"),
            "bandwidth": np.array([self.bandwidth], dtype="<f8"),
        }
        if self.labels is not None:
            tensors["labels"] = np.ascontiguousarray(self.labels, dtype="<i8")
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        return cls.from_tensors(read_tensors(content, "codes", "scale", "bandwidth"))

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """Check tensors that were read.

        Raises:
            ArtifactError: they do not fit together.
        """
        codes, scale, labels = tensors["codes"], tensors["scale"], tensors.get("labels")
        bandwidth = tensors["bandwidth"]
        fits = is_matrix(codes) and scale.shape == codes.shape[1:]
        fits = fits and bandwidth.shape == (1,) and bandwidth[0] > 0
        if not fits or (labels is not None and labels.shape != codes.shape[:1]):
            raise ArtifactError("the density's codes, scale, bandwidth and labels do not fit")
        return cls(codes, scale, float(bandwidth[0]), labels)

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `samplers.Sampler.draw`."""
        codes = _select(self.codes, self.labels, label)
        centres = codes[generator.integers(len(codes), size=count)]
        spread = temperature * self.bandwidth * self.scale
        return (centres + spread * generator.standard_normal(centres.shape)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ClassKernelDensity:
    """A kernel density for each class: a bandwidth and a scale of its own."""

    codes: Floats
    """(N, L) the kernels' centres."""
    labels: Labels
    """(N,) each code's class index, 0 to K - 1."""
    scales: Floats
    """(K, L) what one unit of bandwidth is for each class and dimension."""
    bandwidths: Doubles
    """(K,) in units of `scales`; greater than 0."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.scales[0])

    @property
    def classes(self) -> frozenset[int]:
        """The classes that can be drawn from."""
        return frozenset(self.labels.tolist())

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {
            "codes": np.ascontiguousarray(self.codes, dtype="<f4"),
            "labels": np.ascontiguousarray(self.labels, dtype="<i8"),
            "scales": np.ascontiguousarray(self.scales, dtype="<f4"),
            "bandwidths": np.ascontiguousarray(self.bandwidths, dtype="<f8"),
        }
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "codes", "labels", "scales", "bandwidths")
        codes, labels, scales, bandwidths = (
            tensors[name] for name in ("codes", "labels", "scales", "bandwidths")
        )
        fits = is_matrix(codes) and is_matrix(scales) and scales.shape[1] == codes.shape[1]
        fits = fits and bandwidths.shape == scales.shape[:1] and bool((bandwidths > 0).all())
        fits = fits and labels.shape == codes.shape[:1] and labels.dtype == np.int64
        if not fits or labels.min() < 0 or labels.max() >= len(scales):
            raise ArtifactError("the density's codes, labels, scales and bandwidths do not fit")
        return cls(codes, labels, scales, bandwidths)

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `samplers.Sampler.draw`."""
        rows = _select(np.arange(len(self.codes)), self.labels, label)
        chosen = rows[generator.integers(len(rows), size=count)]
        noise = generator.standard_normal((count, self.latent_size))
        spread = temperature * self.bandwidths[:, None] * self.scales
        latents: Doubles = self.codes[chosen] + spread[self.labels[chosen]] * noise
        return latents.astype(np.float32)


@dataclass(frozen=True, slots=True)
class ProjectedDensity:
    """A kernel density in a plane of the latent space, found by PCA (report 003)."""

    density: KernelDensity
    """Over the codes' coordinates in the plane."""
    mean: Floats
    """(L,) where the plane's coordinates are 0."""
    axes: Floats
    """(2, L) the directions of the coordinates, of length 1."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.mean)

    @property
    def classes(self) -> frozenset[int]:
        """The classes that can be drawn from."""
        return self.density.classes

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {
            **read_tensors(self.density.to_bytes()),
            "mean": np.ascontiguousarray(self.mean, dtype="<f4"),
            "axes": np.ascontiguousarray(self.axes, dtype="<f4"),
        }
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "codes", "scale", "bandwidth", "mean", "axes")
        density, mean, axes = KernelDensity.from_tensors(tensors), tensors["mean"], tensors["axes"]
        if not is_matrix(axes) or axes.shape != (density.latent_size, *mean.shape):
            raise ArtifactError("the density's mean, axes and codes do not fit")
        return cls(density, mean, axes)

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `samplers.Sampler.draw`."""
        coordinates = self.density.draw(count, generator, label, temperature).astype(np.float64)
        return (self.mean + _combine(coordinates, self.axes)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class GaussianMixture:
    """A mixture of normal distributions with full covariances."""

    weights: Doubles
    """(M,) each component's share; their sum is 1."""
    means: Floats
    """(M, L)."""
    factors: Floats
    """(M, L, L) the covariances' lower Cholesky factors."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.means[0])

    @property
    def classes(self) -> frozenset[int]:
        """No class can be drawn from."""
        return frozenset()

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {
            "weights": np.ascontiguousarray(self.weights, dtype="<f8"),
            "means": np.ascontiguousarray(self.means, dtype="<f4"),
            "factors": np.ascontiguousarray(self.factors, dtype="<f4"),
        }
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "weights", "means", "factors")
        weights, means, factors = (tensors[name] for name in ("weights", "means", "factors"))
        fits = is_matrix(means) and factors.shape == (*means.shape, means.shape[1])
        fits = fits and weights.shape == means.shape[:1] and bool((weights >= 0).all())
        if not fits or not np.isclose(weights.sum(), 1):
            raise ArtifactError("the mixture's weights, means and factors do not fit")
        return cls(weights, means, factors)

    def draw(
        self,
        count: int,
        generator: np.random.Generator,
        label: int | None,  # noqa: ARG002 - a component is no class
        temperature: float,
    ) -> Floats:
        """See `samplers.Sampler.draw`."""
        edges = np.cumsum(self.weights)[:-1]
        chosen = np.searchsorted(edges, generator.random(count), side="right")
        noise = generator.standard_normal((count, self.latent_size))
        columns = (self.factors[chosen, :, column] for column in range(self.latent_size))
        return (self.means[chosen] + temperature * _combine(noise, columns)).astype(np.float32)


def is_matrix(tensor: NDArray[Any]) -> bool:
    """Tell whether a tensor has rows and columns, and some of each."""
    return tensor.ndim == 2 and tensor.size > 0  # noqa: PLR2004 - rows and columns


def _select(rows: NDArray[Any], labels: Labels | None, label: int | None) -> NDArray[Any]:
    """Return the rows of a class, or all."""
    return rows if labels is None or label is None else rows[labels == label]


def _combine(weights: Doubles, vectors: Iterable[Floats]) -> Doubles:
    """Return the sum over j of `weights[:, j]` times the j-th vector, or vector a row: (N, L).

    It is summed in this order on every machine, which a matrix product is not, so that a seed
    gives the same latents everywhere.
    """
    total: Doubles = np.zeros(())
    for weight, vector in zip(weights.T, vectors, strict=True):
        total = total + weight[:, None] * vector
    return total
