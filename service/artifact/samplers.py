"""Where generated latents come from; training judges the classes that the service draws with.

To add one that is fitted: a class with what `StoredSampler` asks for, a line in `STORED_SAMPLERS`,
and its fit in `training.samplers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from safetensors.numpy import save

from service.artifact.densities import (
    ClassKernelDensity,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
    is_matrix,
)
from service.artifact.manifest import NetworkName
from service.artifact.tensor_files import Floats, read_tensors
from service.errors import ArtifactError

RunNetwork: TypeAlias = Callable[[NetworkName, Floats], list[Floats]]
"""Takes a network's name and its input, (N, ...) float32; gives each of its outputs."""


class Sampler(Protocol):
    """A source of latents. Drawn from by several threads at once."""

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """Draw latents; the same generator state gives the same latents on every machine.

        Args:
            count: How many, at least 1.
            generator: Where all randomness comes from.
            label: Class index to draw from; None for any, and where the source is not
                class-conditional.
            temperature: Factor on the source's spread, greater than 0; 1 is as fitted.

        Returns:
            (count, L) float32.
        """


class StoredSampler(Sampler, Protocol):
    """A source that was fitted to codes, and lies in a file."""

    @property
    def latent_size(self) -> int:
        """L."""

    @property
    def classes(self) -> frozenset[int]:
        """The classes that can be drawn from."""

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every point of a box is as likely (report 000).

    The temperature is a factor on the box's sides, about its centre.
    """

    low: Floats
    """(L,)."""
    high: Floats
    """(L,) nowhere below `low`."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.low)

    @property
    def classes(self) -> frozenset[int]:
        """No class can be drawn from."""
        return frozenset()

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        return _save(low=self.low, high=self.high)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "low", "high")
        low, high = tensors["low"], tensors["high"]
        if low.ndim != 1 or not low.size or low.shape != high.shape or (low > high).any():
            raise ArtifactError("the box's low and high do not fit")
        return cls(low, high)

    def draw(
        self,
        count: int,
        generator: np.random.Generator,
        label: int | None,  # noqa: ARG002 - a box knows no classes
        temperature: float,
    ) -> Floats:
        """See `Sampler.draw`."""
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        sides = temperature * (high - low)
        offsets = generator.random((count, self.latent_size)) - 0.5
        return ((low + high) / 2 + sides * offsets).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Centroids:
    """A normal distribution about each class's mean code (report 002)."""

    centroids: Floats
    """(K, L)."""
    sigma: Floats
    """(L,) the standard deviation about a centroid, the same for all; 0 or more."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.sigma)

    @property
    def classes(self) -> frozenset[int]:
        """The classes that can be drawn from."""
        return frozenset(range(len(self.centroids)))

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        return _save(centroids=self.centroids, sigma=self.sigma)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "centroids", "sigma")
        centroids, sigma = tensors["centroids"], tensors["sigma"]
        if not is_matrix(centroids) or sigma.shape != centroids.shape[1:] or (sigma < 0).any():
            raise ArtifactError("the centroids and their sigma do not fit")
        return cls(centroids, sigma)

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`; without a label every class is as likely."""
        chosen = (
            generator.integers(len(self.centroids), size=count)
            if label is None
            else np.full(count, label)
        )
        noise = generator.standard_normal((count, self.latent_size))
        return (self.centroids[chosen] + temperature * self.sigma * noise).astype(np.float32)


@dataclass(frozen=True, slots=True)
class StandardNormal:
    """N(0, I), a VAE's prior and the noise that a GAN's generator takes (report 001).

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; Goodfellow et al., Generative
    Adversarial Nets, 2014.
    """

    latent_size: int
    """L."""

    def draw(
        self,
        count: int,
        generator: np.random.Generator,
        label: int | None,  # noqa: ARG002 - noise knows no classes
        temperature: float,
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = generator.standard_normal((count, self.latent_size))
        return (temperature * noise).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FilteredGan:
    """A GAN's images as the autoencoder's codes: decoded, they are filtered (report 001).

    Two networks stand between the noise and the latents, so machines and backends agree on the
    noise bit for bit, and on the latents as far as they agree on networks.
    """

    noise: StandardNormal
    run: RunNetwork
    """Runs `generator` and `encoder`."""

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = self.noise.draw(count, generator, label, temperature)
        (images,) = self.run("generator", noise)
        (codes,) = self.run("encoder", images)
        return codes


STORED_SAMPLERS: dict[str, type[StoredSampler]] = {
    "uniform": Uniform,
    "centroid": Centroids,
    "kde": KernelDensity,
    "class-kde": ClassKernelDensity,
    "pca-kde": ProjectedDensity,
    "gmm": GaussianMixture,
}
"""The class that reads the file of each kind."""


def _save(**vectors: Any) -> bytes:  # noqa: ANN401 - arrays of any float type
    return bytes(save({name: np.ascontiguousarray(part, "<f4") for name, part in vectors.items()}))
