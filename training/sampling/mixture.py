"""A Gaussian mixture over the training images' codes: a simple and strong source of samples.

As in Ghosh et al., From Variational to Deterministic Autoencoders, ICLR 2020, which fits one to the
codes of plain autoencoders and of VAEs. Letters: N codes of L numbers, M components.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from threadpoolctl import threadpool_limits

from service.artifact.densities import GaussianMixture
from training.errors import TrainingError
from training.randomness import derive_seed
from training.recipe.schema import Recipe
from training.sampling.density import Codes, Tell

_ITERATIONS = 50
_REGULARISATION = 1e-4  # added to each variance, in units of the codes' own
_LEAST_CODES = 2  # what scikit-learn asks for


def fit_mixture(codes: Codes, recipe: Recipe, tell: Tell) -> GaussianMixture:
    """Fit mixtures of several sizes; return the one under which validation codes are likeliest.

    Codes are divided by their standard deviations while it is fitted. A component needs more than
    L codes for a covariance of its own: fewer codes get fewer components, at last one.

    Raises:
        TrainingError: there are too few codes.
    """
    if len(codes.training) < _LEAST_CODES or not len(codes.validation):
        raise TrainingError("there are too few images")
    scale = codes.training.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    generator = np.random.default_rng(derive_seed(recipe.seed, "mixture", "codes"))
    chosen = generator.permutation(len(codes.training))[: recipe.samplers.mixture_codes]
    training = codes.training[chosen] / scale
    count, latent_size = training.shape
    sizes = _choose_sizes(count, latent_size, recipe.samplers.components)
    fitted = [_fit(training, size, recipe.seed) for size in sizes]
    scores = [estimator.score(codes.validation / scale) for estimator in fitted]
    best = int(np.argmax(scores))
    if len(sizes) > 1 and sizes[best] == max(recipe.samplers.components):
        tell(f"the largest mixture, of {sizes[best]}, is the best: add to samplers.components")
    return _describe(fitted[best], scale)


def _choose_sizes(count: int, latent_size: int, wanted: tuple[int, ...]) -> list[int]:
    return [size for size in wanted if size * (latent_size + 1) <= count] or [1]


def _fit(codes: NDArray[np.float64], size: int, seed: int) -> Estimator:
    estimator = Estimator(
        size,
        max_iter=_ITERATIONS,
        reg_covar=_REGULARISATION,
        random_state=derive_seed(seed, "mixture", size) % 2**32,
    )
    # The sums' order, and with it the mixture, would depend on how many cores there are.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change little
        return estimator.fit(codes)


def _describe(estimator: Estimator, scale: NDArray[np.float64]) -> GaussianMixture:
    """Return a fitted mixture in the codes' own units."""
    factors = np.linalg.cholesky(estimator.covariances_)
    return GaussianMixture(
        estimator.weights_,
        (estimator.means_ * scale).astype(np.float32),
        (factors * scale[:, None]).astype(np.float32),
    )
