"""A kernel density over the training images' codes: where in latent space images are.

Letters: N codes of L numbers.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity as Estimator

from service.artifact.densities import KernelDensity
from training.config import DensityRecipe
from training.errors import TrainingError
from training.images import Labels
from training.randomness import derive_seed

_FEW_CODES = 2000  # starting worker processes takes longer than a search among these


def fit_density(
    codes: NDArray[np.float32], labels: Labels | None, recipe: DensityRecipe, seed: int
) -> tuple[KernelDensity, tuple[str, ...]]:
    """Choose a bandwidth by cross-validated likelihood and keep codes to draw around.

    As source report 003: a grid search over sklearn's Gaussian KernelDensity. The codes are first
    divided by each dimension's standard deviation, so that one bandwidth suits dimensions of any
    scale. Half the codes widen the best kernel by under 4 % at L = 16 (Silverman 1986, 4.3:
    N**(-1 / (L + 4))), less than a step of the grid, so a part of them is enough to search with.

    Args:
        codes: (N, L) codes of training images.
        labels: (N,) class indices to keep beside the codes, or None.
        recipe: The grid, the folds, and how many codes to search with and to keep.
        seed: The recipe's seed.

    Returns:
        The density, and notes for the person who trains.

    Raises:
        TrainingError: a dimension of the codes never changes.
    """
    chosen = _choose(len(codes), labels, recipe.max_codes, seed)
    kept = codes[chosen]
    scale = codes.std(axis=0)
    if not scale.min() > 0:
        dead = ", ".join(str(index) for index in np.flatnonzero(~(scale > 0)))
        raise TrainingError(
            f"the codes never change in dimension {dead}: a smaller autoencoder.latent_size "
            "or more epochs may help"
        )
    standard = (kept / scale)[: recipe.search_codes].astype(np.float64)
    grid = np.logspace(*recipe.bandwidths)
    bandwidth = _search_bandwidth(standard, grid, recipe.folds, seed)
    density = KernelDensity(kept, scale, bandwidth, None if labels is None else labels[chosen])
    return density, _warn_of_edge(bandwidth, grid)


def _choose(count: int, labels: Labels | None, most: int, seed: int) -> NDArray[np.int64]:
    """Return indices of `most` random codes, and of one of each class that is not among them."""
    generator = np.random.default_rng(derive_seed(seed, "density", "codes"))
    order = generator.permutation(count)
    chosen = order[:most]
    if labels is None:
        return chosen
    classes, first = np.unique(labels[order], return_index=True)
    return np.concatenate([chosen, order[first[~np.isin(classes, labels[chosen])]]])


def _search_bandwidth(
    codes: NDArray[np.float64], grid: NDArray[np.float64], folds: int, seed: int
) -> float:
    """Return the grid's bandwidth under which held-out codes are most likely."""
    search = GridSearchCV(
        # A ball tree was a quarter faster than the default at 16 and 32 dimensions.
        Estimator(kernel="gaussian", algorithm="ball_tree"),
        {"bandwidth": grid},
        cv=KFold(folds, shuffle=True, random_state=derive_seed(seed, "density", "folds") % 2**32),
        n_jobs=-1 if len(codes) > _FEW_CODES else 1,
        refit=False,
    )
    search.fit(codes)
    return float(search.best_params_["bandwidth"])


def _warn_of_edge(bandwidth: float, grid: NDArray[np.float64]) -> tuple[str, ...]:
    if len(grid) == 1 or grid[0] < bandwidth < grid[-1]:
        return ()
    edge = f"the best bandwidth, {bandwidth:.3g}, is at the edge of the grid"
    return (f"{edge}: widen density.bandwidths",)
