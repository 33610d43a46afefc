"""Kernel densities over the training images' codes: where in latent space images are.

Each is fitted to training codes, and its bandwidth chosen on validation codes. Letters: N codes of
L numbers, H codes held out, K classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity as Estimator

from service.artifact.densities import ClassKernelDensity, KernelDensity, ProjectedDensity
from training.data.splits import Labels
from training.errors import TrainingError
from training.evaluation.latent_maps import find_plane
from training.randomness import derive_seed
from training.recipe.schema import Recipe

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Tell: TypeAlias = Callable[[str], None]
"""Takes a line for the person who waits."""

_ROWS = 256  # held-out codes whose distances to all centres are in memory at once
_FEW_CODES = 2000  # starting worker processes takes longer than a search among these
_PLANE = 2


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of a run's images in one latent space; a VAE's are its means."""

    training: Floats
    """(N, L)."""
    validation: Floats
    """(H, L)."""
    training_labels: Labels | None = None
    """(N,) class indices; None where the images have no classes."""
    validation_labels: Labels | None = None
    """(H,)."""
    classes: int = 0
    """K; 0 where the images have none."""

    def of_class(self, label: int) -> "Codes":
        """Return the codes of one class, without labels."""
        return Codes(
            self.training[self.training_labels == label],
            self.validation[self.validation_labels == label],
        )


def fit_density(codes: Codes, recipe: Recipe, tell: Tell) -> KernelDensity:
    """Choose a bandwidth by the likelihood of held-out codes, and keep codes to draw around.

    As source report 003, with the grid in units of each dimension's standard deviation, so that
    one bandwidth suits dimensions of any scale. Held out are the validation codes, or parts of
    the training codes where the recipe has `density.folds`.

    Raises:
        TrainingError: a dimension of the codes never changes, or none are held out.
    """
    labels = codes.training_labels
    chosen = _choose(len(codes.training), labels, recipe)
    scale = _measure_scale(codes.training)
    kept = codes.training[chosen]
    bandwidth = _choose_bandwidth(kept / scale, codes.validation / scale, recipe)
    _warn_of_edge([bandwidth], recipe, tell)
    return KernelDensity(kept, scale, bandwidth, None if labels is None else labels[chosen])


def fit_class_density(codes: Codes, recipe: Recipe, tell: Tell) -> ClassKernelDensity:
    """Choose a bandwidth for each class, in units of that class's standard deviations.

    Raises:
        TrainingError: a class has too few images to choose by.
    """
    labels = codes.training_labels
    if labels is None:
        raise TrainingError("the images have no classes")
    chosen = _choose(len(codes.training), labels, recipe)
    scales, bandwidths = [], []
    for label in range(codes.classes):
        members = codes.of_class(label)
        try:
            scale = _measure_scale(members.training)
            kept = codes.training[chosen[labels[chosen] == label]]
            held_out = members.validation / scale
            bandwidths.append(_choose_bandwidth(kept / scale, held_out, recipe))
        except TrainingError as error:
            raise TrainingError(f"class {label}: {error}") from error
        scales.append(scale)
    _warn_of_edge(bandwidths, recipe, tell)
    return ClassKernelDensity(
        codes.training[chosen], labels[chosen], np.stack(scales), np.array(bandwidths)
    )


def fit_projected_density(codes: Codes, recipe: Recipe, tell: Tell) -> ProjectedDensity:
    """Fit a density on the plane of the codes' first two principal components (report 003).

    Raises:
        TrainingError: the codes lie on a plane as they are, or its density cannot be fitted.
    """
    if codes.training.shape[1] <= _PLANE:
        raise TrainingError("codes of two numbers need no projection")
    mean, axes = find_plane(codes.training)
    projected = replace(
        codes,
        training=((codes.training - mean) @ axes.T).astype(np.float32),
        validation=((codes.validation - mean) @ axes.T).astype(np.float32),
    )
    return ProjectedDensity(fit_density(projected, recipe, tell), mean, axes)


def measure_likelihood(centres: Floats, held_out: Floats, bandwidths: Doubles) -> Doubles:
    """Return the mean log-density, in nats, of held-out codes under a density of each bandwidth.

    It is exact, which scikit-learn's is not far out in the kernels' tails.

    Args:
        centres: (N, L) the kernels' centres.
        held_out: (H, L) other codes.
        bandwidths: (B,) standard deviations of the kernels.

    Returns:
        (B,).
    """
    totals = np.zeros(len(bandwidths))
    for rows in np.array_split(held_out, math.ceil(len(held_out) / _ROWS)):
        distances = euclidean_distances(rows, centres, squared=True).astype(np.float32)
        nearest = distances.min(axis=1, keepdims=True)
        distances -= nearest  # so that no sum of exponentials is 0
        for index, bandwidth in enumerate(bandwidths):
            factor = np.float32(-0.5 / bandwidth**2)
            sums = np.exp(factor * distances).sum(axis=1, dtype=np.float64)
            totals[index] += np.log(sums).sum() + factor * nearest.sum(dtype=np.float64)
    count, size = centres.shape
    norm = np.log(count) + size * (np.log(bandwidths) + 0.5 * np.log(2 * np.pi))
    likelihoods: Doubles = totals / len(held_out) - norm
    return likelihoods


def _choose(count: int, labels: Labels | None, recipe: Recipe) -> NDArray[np.int64]:
    """Return indices of random codes to keep, and of one of each class that is not among them."""
    generator = np.random.default_rng(derive_seed(recipe.seed, "density", "codes"))
    order = generator.permutation(count)
    chosen = order[: recipe.density.max_codes]
    if labels is None:
        return chosen
    classes, first = np.unique(labels[order], return_index=True)
    return np.concatenate([chosen, order[first[~np.isin(classes, labels[chosen])]]])


def _measure_scale(codes: Floats) -> Floats:
    """Return each dimension's standard deviation, (L,)."""
    if not len(codes):
        raise TrainingError("there are no training images")
    scale: Floats = codes.std(axis=0)
    if not scale.min() > 0:
        dead = ", ".join(str(index) for index in np.flatnonzero(~(scale > 0)))
        raise TrainingError(
            f"the codes never change in dimension {dead}: a smaller latent_size, more epochs or "
            "more images may help"
        )
    return scale


def _choose_bandwidth(centres: Floats, held_out: Floats, recipe: Recipe) -> float:
    """Return the grid's bandwidth under which held-out codes are most likely."""
    grid = np.logspace(*recipe.density.bandwidths)
    if recipe.density.folds is not None:
        return _cross_validate(centres, grid, recipe.density.folds, recipe)
    if not len(held_out):
        raise TrainingError("there are no validation images")
    generator = np.random.default_rng(derive_seed(recipe.seed, "density", "held out"))
    tried = generator.permutation(len(held_out))[: recipe.density.search_codes]
    return float(grid[measure_likelihood(centres, held_out[tried], grid).argmax()])


def _cross_validate(centres: Floats, grid: Doubles, folds: int, recipe: Recipe) -> float:
    """Return the bandwidth that a cross-validation among the centres finds (report 003).

    Half the codes widen the best kernel by under 4 % at L = 16 (Silverman 1986, 4.3:
    N**(-1 / (L + 4))), less than a step of the grid, so a part of them is enough to search with.
    """
    codes = centres[: recipe.density.search_codes].astype(np.float64)
    if len(codes) < folds:
        raise TrainingError(f"there are fewer than {folds} training images")
    seed = derive_seed(recipe.seed, "density", "folds") % 2**32
    search = GridSearchCV(
        # A ball tree was a quarter faster than the default at 16 and 32 dimensions.
        Estimator(kernel="gaussian", algorithm="ball_tree"),
        {"bandwidth": grid},
        cv=KFold(folds, shuffle=True, random_state=seed),
        n_jobs=-1 if len(codes) > _FEW_CODES else 1,
        refit=False,
    )
    search.fit(codes)
    return float(search.best_params_["bandwidth"])


def _warn_of_edge(bandwidths: list[float], recipe: Recipe, tell: Tell) -> None:
    grid = np.logspace(*recipe.density.bandwidths)
    at_edge = [value for value in bandwidths if len(grid) > 1 and value in (grid[0], grid[-1])]
    if at_edge:
        values = ", ".join(f"{value:.3g}" for value in at_edge)
        tell(f"the best bandwidth, {values}, is at the edge of the grid: widen density.bandwidths")
