"""The filtered GAN: its images as the autoencoder sees them (report 001)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.artifact.samplers import StandardNormal
from service.artifact.specs import NetworkName
from service.artifact.tensor_files import Floats

RunNetwork: TypeAlias = Callable[[NetworkName, Floats], list[Floats]]
"""Runs a network, by name, on (N, ...) float32 and returns each of its outputs."""


@dataclass(frozen=True, slots=True)
class FilteredGan:
    """Draws latents by encoding the images of a GAN.

    The service runs the same networks as steps of the operation `sample`. Machines and backends
    agree bit for bit on the noise, but on the latents only as closely as on network outputs.
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
