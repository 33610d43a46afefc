"""The latents of a run's images, and the plane of their first two principal components.

N training and H validation latents of L dimensions; K classes.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from service.artifact.specs import SpaceName
from training.data.splits import LabelledImages, Labels, Splits
from training.fitting.examples import Examples
from training.fitting.network_set import NetworkSet, encode_images
from training.networks.layers import find_device

Floats: TypeAlias = NDArray[np.float32]

MAX_EXACT = 1024
"""Latent size up to which L x L matrices are computed."""
_MAX_ROWS = 2000


@dataclass(frozen=True, slots=True)
class SplitLatents:
    """Latents of the training and validation images in one latent space; the means for a VAE."""

    training: Floats
    """(N, L)."""
    validation: Floats
    """(H, L)."""
    training_labels: Labels | None = None
    """(N,) class indices; None for unlabelled images."""
    validation_labels: Labels | None = None
    """(H,)."""
    classes: int = 0
    """K; 0 for unlabelled images."""

    def of_class(self, label: int) -> "SplitLatents":
        """Return the latents of one class, without labels."""
        return SplitLatents(
            self.training[self.training_labels == label],
            self.validation[self.validation_labels == label],
        )


def encode_splits(splits: Splits, networks: NetworkSet, space: SpaceName) -> SplitLatents:
    """Return the latents of the training and validation images in `space`."""
    encoder = networks.spaces[space].encoder
    device = find_device(encoder)

    def encode(images: LabelledImages) -> Floats:
        inputs = Examples.from_images(images, device).inputs
        latents: Floats = encode_images(encoder, inputs).cpu().numpy()
        return latents

    return SplitLatents(
        encode(splits.train),
        encode(splits.validation),
        splits.train.labels,
        splits.validation.labels,
        len(splits.classes or ()),
    )


def find_principal_plane(latents: Floats) -> tuple[Floats, Floats]:
    """Return the mean (L,) and the first two principal axes (2, L) of latents (N, L).

    The sign of an axis makes its largest component positive. If L is 1, the second axis is zero.
    For an L above 1024 the axes are approximate: Halko et al., Finding Structure with Randomness,
    2011, on at most 2,000 latents, whose matrix products take seconds instead of hours.
    """
    mean = latents.mean(axis=0, dtype=np.float64)
    if latents.shape[1] > MAX_EXACT:
        step = -(-len(latents) // _MAX_ROWS)
        centred = latents[::step] - mean.astype(np.float32)
        _, _, first = randomized_svd(centred, 2, random_state=0)
    else:
        centred = latents - mean
        _, axes = np.linalg.eigh(centred.T @ centred)  # columns, in ascending order of variance
        first = axes.T[::-1][:2]
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=1)[:, None], axis=1)
    components = np.zeros((2, len(mean)), np.float32)
    components[: len(first)] = first * np.sign(largest)
    return mean.astype(np.float32), components
