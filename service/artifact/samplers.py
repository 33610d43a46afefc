"""Samplers: how latents are drawn. Training judges the same classes that the service draws with.

To add a fitted sampler: write a class that satisfies `StoredSampler`, add it to
`STORED_SAMPLERS`, and add its fit to `training.sampling.samplers`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeAlias

import numpy as np

from service.artifact.densities import (
    ClassKernelDensity,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
)
from service.artifact.manifest import NetworkName
from service.artifact.tensor_files import Floats, TensorRecord
from service.errors import ArtifactError

RunNetwork: TypeAlias = Callable[[NetworkName, Floats], list[Floats]]
"""Runs a network, by name, on (N, ...) float32 and returns each of its outputs."""


class Sampler(Protocol):
    """Draws latents. Called by several threads at once."""

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """Draw latents; the same state of `rng` gives the same latents on every machine.

        Args:
            count: Number of latents, at least 1.
            rng: The only source of randomness.
            label: Class index to draw from; None for any class. A sampler without classes
                ignores it.
            temperature: Factor on the spread of the latents, greater than 0; 1 as fitted.

        Returns:
            (count, L) float32.
        """


class StoredSampler(Sampler, Protocol):
    """A sampler that was fitted to latent codes and is stored in a file."""

    @property
    def latent_size(self) -> int:
        """L."""

    @property
    def classes(self) -> frozenset[int]:
        """The class indices that can be drawn from."""

    def to_bytes(self) -> bytes:
        """See `TensorRecord.to_bytes`."""

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """See `TensorRecord.from_bytes`."""


@dataclass(frozen=True, slots=True)
class Uniform(TensorRecord):
    """A uniform distribution over a box (report 000).

    The temperature scales the sides of the box about its centre.
    """

    shapes: ClassVar[Mapping[str, str]] = {"low": "L", "high": "L"}

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
        """Always empty."""
        return frozenset()

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.low > self.high).any():
            index = int((self.low > self.high).argmax())
            raise ArtifactError(
                f"expected low <= high, got {self.low[index]} > {self.high[index]} at {index}"
            )

    def draw(
        self,
        count: int,
        rng: np.random.Generator,
        label: int | None,  # noqa: ARG002 - there are no classes
        temperature: float,
    ) -> Floats:
        """See `Sampler.draw`."""
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        sides = temperature * (high - low)
        offsets = rng.random((count, self.latent_size)) - 0.5
        return ((low + high) / 2 + sides * offsets).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Centroids(TensorRecord):
    """A normal distribution about the mean code of each class (report 002)."""

    shapes: ClassVar[Mapping[str, str]] = {"centroids": "KL", "sigma": "L"}

    centroids: Floats
    """(K, L)."""
    sigma: Floats
    """(L,) standard deviation about each centroid; 0 or more."""

    @property
    def latent_size(self) -> int:
        """L."""
        return len(self.sigma)

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
class StandardNormal:
    """N(0, I): the prior of a VAE and the input noise of a GAN's generator (report 001).

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; Goodfellow et al., Generative
    Adversarial Nets, 2014.
    """

    latent_size: int
    """L."""

    def draw(
        self,
        count: int,
        rng: np.random.Generator,
        label: int | None,  # noqa: ARG002 - there are no classes
        temperature: float,
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = rng.standard_normal((count, self.latent_size))
        return (temperature * noise).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FilteredGan:
    """Codes of a GAN's images: decoded, they are the images as the autoencoder sees them.

    From report 001. Two networks turn the noise into latents, so machines and backends agree bit
    for bit on the noise, but on the latents only as closely as on the outputs of networks.
    """

    noise: StandardNormal
    run: RunNetwork
    """Runs `generator` and `encoder`."""

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = self.noise.draw(count, rng, label, temperature)
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
"""The class that reads the file of each sampler kind."""
