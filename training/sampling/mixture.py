"""Gaussian mixtures over training latents.

Ghosh et al., From Variational to Deterministic Autoencoders, ICLR 2020, fit them to the latents of
plain autoencoders and of VAEs. N latents of L dimensions; M components.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from threadpoolctl import threadpool_limits

from service.artifact.samplers import GaussianMixture
from training.errors import TrainingError
from training.randomness import derive_seed32, make_rng
from training.recipe.schema import Recipe
from training.sampling.latents import MAX_EXACT, SplitLatents

_ITERATIONS = 50
_REGULARISATION = 1e-4  # added to each variance, in units of the latents' variance
_MIN_LATENTS = 2  # required by scikit-learn


def fit_mixture(
    latents: SplitLatents, recipe: Recipe, warn: Callable[[str], None]
) -> GaussianMixture:
    """Fit mixtures of several sizes; return the one with the highest validation likelihood.

    Latents are divided by their standard deviations for the fit. The covariance of a component
    requires more than L latents; sizes with fewer latents per component are skipped, and a single
    component remains if all are.

    Raises:
        TrainingError: there are too few latents, or they are too large.
    """
    if len(latents.training) < _MIN_LATENTS or not len(latents.validation):
        raise TrainingError(
            f"a mixture requires {_MIN_LATENTS} training images and 1 validation image"
        )
    if latents.training.shape[1] > MAX_EXACT:
        raise TrainingError(
            f"a mixture has a covariance of {latents.training.shape[1]:,} x "
            f"{latents.training.shape[1]:,} numbers; latents have at most {MAX_EXACT} dimensions"
        )
    scale = latents.training.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    order = make_rng(recipe.seed, "mixture", "codes").permutation(len(latents.training))
    training = latents.training[order[: recipe.samplers.mixture_codes]] / scale
    count, latent_size = training.shape
    candidates = recipe.samplers.components
    sizes = [size for size in candidates if size * (latent_size + 1) <= count] or [1]
    fitted = [_fit(training, size, recipe.seed) for size in sizes]
    scores = [estimator.score(latents.validation / scale) for estimator in fitted]
    best = int(np.argmax(scores))
    if len(sizes) > 1 and sizes[best] == max(candidates):
        warn(
            f"the largest mixture, with {sizes[best]} components, is the best; "
            "add a larger one to samplers.components"
        )
    return _unscale(fitted[best], scale)


def _fit(latents: NDArray[np.float64], size: int, seed: int) -> Estimator:
    estimator = Estimator(
        size,
        max_iter=_ITERATIONS,
        reg_covar=_REGULARISATION,
        random_state=derive_seed32(seed, "mixture", size),
    )
    # With several threads the order of summation, and so the result, depends on the CPU count.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterations change little
        return estimator.fit(latents)


def _unscale(estimator: Estimator, scale: NDArray[np.float64]) -> GaussianMixture:
    """Return a fitted mixture in the units of the latents."""
    factors = np.linalg.cholesky(estimator.covariances_)
    return GaussianMixture(
        estimator.weights_,
        (estimator.means_ * scale).astype(np.float32),
        (factors * scale[:, None]).astype(np.float32),
    )
