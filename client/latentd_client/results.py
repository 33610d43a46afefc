"""What the service answers, as values.

Letters in shapes: N images, C channels, H height, W width, L latent size.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]


class RefusedError(Exception):
    """The service refused a request; the text is its own `detail`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        """Keep what was answered.

        Args:
            status: The HTTP status.
            problem: The problem (RFC 9457); for 422 its `errors` point at each wrong member.
        """
        super().__init__(str(problem.get("detail", "the service gave no reason")))
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Encoded:
    """Codes of images."""

    latents: Floats
    """(N, L); for the VAE the means."""
    log_variances: Floats | None
    """(N, L), for the VAE only."""


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """Images through the encoder and back."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    mse: Floats
    """(N,) mean squared error a pixel."""
    anomaly_percentile: Floats
    """(N,) percent of the test set's images that come back at least as well."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Images that were decoded, and the latents they were decoded from."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    latents: Floats
    """(N, L)."""
    seed: int | None = None
    """What reproduces samples; None for the images along a line."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an image was classified as."""

    label: str
    index: int
    probability: float
    top: dict[str, float]
    """The likeliest labels with their probabilities, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Map:
    """Training images on a plane: N codes, two places for each."""

    latents: Floats
    """(N, L)."""
    labels: NDArray[np.int64] | None
    """(N,) class indices."""
    projections: dict[str, Floats]
    """(N, 2) by name: `pca` and `tsne`."""
