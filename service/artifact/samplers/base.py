"""The protocol of samplers, the base of stored ones and the standard normal distribution."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.artifact.tensor_files import Floats, TensorRecord


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


@dataclass(frozen=True, slots=True)
class StoredSampler(TensorRecord, Sampler):
    """Base of samplers that are fitted to latent codes and stored in a file.

    `L` in `shapes` is the latent size.
    """

    @property
    def latent_size(self) -> int:
        """L."""
        name = next(name for name, dimensions in self.shapes.items() if "L" in dimensions)
        size: int = getattr(self, name).shape[self.shapes[name].index("L")]
        return size

    @property
    def classes(self) -> frozenset[int]:
        """The class indices that can be drawn from; empty by default."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class StandardNormal:
    """N(0, I): the prior of a VAE and the input noise of a GAN's generator (report 001).

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014; Goodfellow et al., Generative
    Adversarial Nets, 2014.
    """

    latent_size: int
    """L."""

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = rng.standard_normal((count, self.latent_size))
        return (temperature * noise).astype(np.float32)
