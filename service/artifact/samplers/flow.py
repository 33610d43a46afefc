"""The input of a flow, a network that turns noise into latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.artifact.samplers.base import StoredSampler
from service.artifact.samplers.weights import check_weights, draw_indices
from service.artifact.tensor_files import Doubles, Floats
from service.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class FlowNoise(StoredSampler):
    """The input of a flow: noise of N(0, sigma^2), and a one-hot class if there are classes.

    The flow, a network of the bundle, turns it into latents (Lipman et al., Flow Matching for
    Generative Modeling, 2023).
    """

    shapes: ClassVar[Mapping[str, str]] = {"sigma": "L", "weights": "K"}

    sigma: Floats
    """(L,) standard deviation of the noise, about 1; greater than 0."""
    weights: Doubles | None = None
    """(K,) probability of each class, for draws without a label; the sum is 1."""

    @property
    def input_size(self) -> int:
        """L + K."""
        return self.latent_size + (0 if self.weights is None else len(self.weights))

    @property
    def classes(self) -> frozenset[int]:
        """The classes with a probability over 0; empty without classes."""
        return frozenset() if self.weights is None else frozenset(np.flatnonzero(self.weights))

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.sigma <= 0).any():
            raise ArtifactError(f"expected a sigma greater than 0, got {self.sigma.min()}")
        if self.weights is not None:
            check_weights(self.weights)

    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """Draw rows of the flow's input, (count, L + K); see `Sampler.draw`.

        The noise is independent of the label: the same seed gives other classes the same noise.
        """
        noise = temperature * self.sigma * rng.standard_normal((count, self.latent_size))
        if self.weights is None:
            return noise.astype(np.float32)
        drawn = draw_indices(self.weights, count, rng)
        labels = drawn if label is None else np.full(count, label)
        return np.hstack([noise, np.eye(len(self.weights))[labels]]).astype(np.float32)
