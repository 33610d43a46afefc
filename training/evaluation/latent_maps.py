"""Latent maps: the latents of training images and their 2-D projections by PCA and t-SNE.

Source reports 001, 003 and 004 use the same projections. N latents of L dimensions.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.utils.extmath import randomized_svd

from service.artifact.maps import LatentMap
from training.data.splits import Labels
from training.randomness import derive_seed32, make_rng
from training.recipe.schema import MapRecipe
from training.sampling.latents import MAX_EXACT, find_principal_plane

_MIN_FOR_TSNE = 4
MAX_MAP_BYTES = 16 * 1024 * 1024
"""Bytes of a map's latents, which bounds the number of points for large latents."""
_TSNE_DIMENSIONS = 50
_INITIAL_SPREAD = 1e-4  # of t-SNE's first axis, as in scikit-learn's PCA initialisation


def fit_latent_map(
    latents: NDArray[np.float32], labels: Labels | None, recipe: MapRecipe, seed: int
) -> LatentMap:
    """Select latents and project them to two dimensions.

    Args:
        latents: (N, L) latents of training images; N is at least 1.
        labels: (N,) class indices to stratify the selection by, or None.
        recipe: The maximum number of points, and t-SNE's perplexity, which is limited to
            (N - 1) / 3.
        seed: The recipe's seed.
    """
    points = max(_MIN_FOR_TSNE, min(recipe.points, MAX_MAP_BYTES // (4 * latents.shape[1])))
    chosen = _choose(len(latents), labels, points, seed)
    kept = latents[chosen].astype(np.float32)
    mean, components = find_principal_plane(kept)
    pca = ((kept - mean) @ components.T).astype(np.float32)
    return LatentMap(
        codes=kept,
        pca=pca,
        tsne=_embed(kept, pca, recipe.perplexity, seed),
        mean=mean,
        components=components,
        labels=None if labels is None else labels[chosen],
    )


def _choose(count: int, labels: Labels | None, size: int, seed: int) -> NDArray[np.int64]:
    """Return the sorted indices of a stratified random sample."""
    order = make_rng(seed, "map", "codes").permutation(count)
    groups = np.zeros(count, np.int64) if labels is None else labels
    rank = np.empty(count)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        rank[members] = np.arange(0.5, len(members)) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:size])


def _embed(
    latents: NDArray[np.float32], pca: NDArray[np.float32], perplexity: float, seed: int
) -> NDArray[np.float32]:
    """Return the t-SNE embedding (N, 2), initialised by PCA; the PCA itself if N is below four."""
    spread = float(pca[:, 0].std())
    if len(latents) < _MIN_FOR_TSNE or not spread > 0:
        return pca
    model = TSNE(
        perplexity=min(perplexity, (len(latents) - 1) / 3),
        init=pca / spread * _INITIAL_SPREAD,
        random_state=derive_seed32(seed, "map", "tsne"),
    )
    if latents.shape[1] > MAX_EXACT:
        centred = latents - latents.mean(axis=0)
        size = min(_TSNE_DIMENSIONS, len(latents))
        left, values, _ = randomized_svd(centred, size, random_state=0)
        latents = (left * values).astype(np.float32)
    embedded: NDArray[np.float32] = model.fit_transform(latents).astype(np.float32)
    return embedded
