"""Weights of a discrete distribution: of classes, or of components of a mixture."""

import numpy as np

from service.artifact.tensor_files import Doubles, Labels
from service.errors import ArtifactError


def check_weights(weights: Doubles) -> None:
    """Raise `ArtifactError` if the weights are not probabilities with the sum 1."""
    if (weights < 0).any() or not np.isclose(weights.sum(), 1):
        raise ArtifactError(
            f"expected weights of 0 or more with sum 1, got {weights} with sum {weights.sum()}"
        )


def draw_indices(weights: Doubles, count: int, rng: np.random.Generator) -> Labels:
    """Return `count` random indices with the given probabilities."""
    edges = np.cumsum(weights)[:-1]
    return np.searchsorted(edges, rng.random(count), side="right")
