"""Maps of a latent space: training images' codes and two projections to the plane.

As source reports 001, 003 and 004, which look at their codes by PCA and t-SNE. Letters: N codes
of L numbers.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from service.artifact.maps import LatentMap
from training.data.splits import Labels
from training.randomness import derive_seed
from training.recipe.schema import MapRecipe

_LEAST_FOR_TSNE = 4
_START_SPREAD = 1e-4  # of t-SNE's first axis, as scikit-learn scales a PCA start


def fit_map(
    codes: NDArray[np.float32], labels: Labels | None, recipe: MapRecipe, seed: int
) -> LatentMap:
    """Choose codes and project them to two dimensions.

    Args:
        codes: (N, L) codes of training images; at least one.
        labels: (N,) class indices to keep the shares of, or None.
        recipe: How many codes, and t-SNE's perplexity; for few codes it is a third of them.
        seed: The recipe's seed.
    """
    chosen = _choose(len(codes), labels, recipe.points, seed)
    kept = codes[chosen].astype(np.float32)
    mean, components = find_plane(kept)
    pca = ((kept - mean) @ components.T).astype(np.float32)
    return LatentMap(
        codes=kept,
        pca=pca,
        tsne=_embed(kept, pca, recipe.perplexity, seed),
        mean=mean,
        components=components,
        labels=None if labels is None else labels[chosen],
    )


def _choose(count: int, labels: Labels | None, most: int, seed: int) -> NDArray[np.int64]:
    """Return indices of `most` random codes, in order, with the same share of each class."""
    order = np.random.default_rng(derive_seed(seed, "map", "codes")).permutation(count)
    groups = np.zeros(count, np.int64) if labels is None else labels
    rank = np.empty(count)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        rank[members] = np.arange(0.5, len(members)) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:most])


def find_plane(codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean (L,) and the first two principal axes (2, L); the second of one is zeros."""
    mean = codes.mean(axis=0, dtype=np.float64)
    centred = codes - mean
    _, axes = np.linalg.eigh(centred.T @ centred)  # as columns, the longest last
    first = axes.T[::-1][:2]
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=1)[:, None], axis=1)
    components = np.zeros((2, len(mean)), np.float32)
    components[: len(first)] = first * np.sign(largest)  # an axis has two directions: choose one
    return mean.astype(np.float32), components


def _embed(
    codes: NDArray[np.float32], pca: NDArray[np.float32], perplexity: float, seed: int
) -> NDArray[np.float32]:
    """Return the t-SNE of the codes (N, 2), begun from their PCA; the PCA of fewer than four."""
    spread = float(pca[:, 0].std())
    if len(codes) < _LEAST_FOR_TSNE or not spread > 0:
        return pca
    model = TSNE(
        perplexity=min(perplexity, (len(codes) - 1) / 3),
        init=pca / spread * _START_SPREAD,
        random_state=derive_seed(seed, "map", "tsne") % 2**32,
    )
    embedded: NDArray[np.float32] = model.fit_transform(codes).astype(np.float32)
    return embedded
