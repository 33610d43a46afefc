"""The Gaussian mixture: it finds the components that made the codes."""

import numpy as np
import pytest

from training.errors import TrainingError
from training.recipe.schema import Recipe, parse_recipe
from training.sampling.density import Codes
from training.sampling.mixture import fit_mixture

MEANS = np.array([[-20.0, 0.0], [20.0, 4.0], [0.0, 8.0]])
FACTOR = np.array([[3.0, 0.0], [0.5, 0.2]])


def draw_split(count: int) -> Codes:
    """Return codes of three components of one covariance, the first as large as the others."""
    generator = np.random.default_rng(0)
    component = np.maximum(generator.integers(0, 4, 2 * count) - 1, 0)
    codes = MEANS[component] + generator.standard_normal((2 * count, 2)) @ FACTOR.T
    return Codes(codes[:count].astype(np.float32), codes[count:].astype(np.float32))


def make_recipe(*components: int) -> Recipe:
    """Return a recipe that tries mixtures of these sizes."""
    members = {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {}}
    return parse_recipe({**members, "samplers": {"components": components}})


def test_the_components_are_found() -> None:
    """Of three sizes the right one is chosen, with its shares, means and covariances."""
    mixture = fit_mixture(draw_split(2000), make_recipe(1, 3, 60), print)

    order = mixture.means[:, 0].argsort()
    covariances = mixture.factors @ mixture.factors.transpose(0, 2, 1)
    assert mixture.weights[order] == pytest.approx([0.5, 0.25, 0.25], abs=0.04)
    assert np.allclose(mixture.means[order], MEANS[[0, 2, 1]], atol=0.5)
    assert np.allclose(covariances, FACTOR @ FACTOR.T, rtol=0.2, atol=0.05)
    assert (mixture.factors[:, 0, 1] == 0).all()


def test_the_same_recipe_gives_the_same_mixture() -> None:
    """All randomness comes from the recipe's seed."""
    first, again = (fit_mixture(draw_split(300), make_recipe(3), print) for _ in range(2))

    assert first.to_bytes() == again.to_bytes()


def test_few_codes_get_one_component() -> None:
    """Where no wanted size has enough codes, one normal distribution is fitted."""
    mixture = fit_mixture(draw_split(8), make_recipe(10, 20), print)

    assert mixture.weights.tolist() == [1.0]


def test_the_largest_mixture_asks_for_a_larger() -> None:
    """If the largest is the best, the recipe's key is named."""
    told: list[str] = []

    fit_mixture(draw_split(500), make_recipe(1, 3), told.append)

    assert len(told) == 1
    assert "samplers.components" in told[0]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_codes_are_refused(count: int) -> None:
    """One code has no covariance."""
    codes = draw_split(5)

    with pytest.raises(TrainingError, match="too few"):
        fit_mixture(Codes(codes.training[:count], codes.validation), make_recipe(1), print)


def test_a_dimension_that_never_changes_is_drawn_as_it_is() -> None:
    """Its deviation is far below the others'."""
    codes = draw_split(300)
    flat = [
        np.column_stack([part, np.full(300, 7, np.float32)])
        for part in (codes.training, codes.validation)
    ]

    latents = fit_mixture(Codes(*flat), make_recipe(3), print).draw(
        100, np.random.default_rng(0), None, 1.0
    )

    assert latents[:, 2] == pytest.approx([7] * 100, abs=0.1)
