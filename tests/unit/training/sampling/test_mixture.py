"""Gaussian mixtures: recovered components, determinism and too few latents."""

import numpy as np
import pytest

from training.errors import TrainingError
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe
from training.sampling.latents import SplitLatents
from training.sampling.mixture import fit_mixture

MEANS = np.array([[-20.0, 0.0], [20.0, 4.0], [0.0, 8.0]])
FACTOR = np.array([[3.0, 0.0], [0.5, 0.2]])


def draw_split(count: int) -> SplitLatents:
    """Return latents of three components with one covariance; the first has half of them."""
    generator = np.random.default_rng(0)
    component = np.maximum(generator.integers(0, 4, 2 * count) - 1, 0)
    latents = MEANS[component] + generator.standard_normal((2 * count, 2)) @ FACTOR.T
    return SplitLatents(latents[:count].astype(np.float32), latents[count:].astype(np.float32))


def make_recipe(*components: int) -> Recipe:
    """Return a recipe that tries mixtures of these sizes."""
    members = {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {}}
    return parse_recipe({**members, "samplers": {"components": components}})


def test_the_components_are_recovered() -> None:
    """The correct size of three is chosen, with its weights, means and covariances."""
    mixture = fit_mixture(draw_split(2000), make_recipe(1, 3, 60), print)

    order = mixture.means[:, 0].argsort()
    covariances = mixture.factors @ mixture.factors.transpose(0, 2, 1)
    assert mixture.weights[order] == pytest.approx([0.5, 0.25, 0.25], abs=0.04)
    assert np.allclose(mixture.means[order], MEANS[[0, 2, 1]], atol=0.5)
    assert np.allclose(covariances, FACTOR @ FACTOR.T, rtol=0.2, atol=0.05)
    assert (mixture.factors[:, 0, 1] == 0).all()


def test_the_same_recipe_gives_the_same_mixture() -> None:
    """The recipe's seed is the only source of randomness."""
    first, again = (fit_mixture(draw_split(300), make_recipe(3), print) for _ in range(2))

    assert first.to_bytes() == again.to_bytes()


def test_few_latents_give_one_component() -> None:
    """If all requested sizes need more latents, one normal distribution is fitted."""
    mixture = fit_mixture(draw_split(8), make_recipe(10, 20), print)

    assert mixture.weights.tolist() == [1.0]


def test_a_warning_recommends_larger_mixtures() -> None:
    """If the largest size is the best, the warning names the recipe's key."""
    warnings: list[str] = []

    fit_mixture(draw_split(500), make_recipe(1, 3), warnings.append)

    assert len(warnings) == 1
    assert "samplers.components" in warnings[0]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_latents_are_rejected(count: int) -> None:
    """A covariance requires two latents."""
    latents = draw_split(5)
    few = SplitLatents(latents.training[:count], latents.validation)

    with pytest.raises(TrainingError, match="requires 2 training images"):
        fit_mixture(few, make_recipe(1), print)


def test_a_constant_dimension_stays_constant() -> None:
    """Samples have almost no deviation in that dimension."""
    split = draw_split(300)
    flat = [
        np.column_stack([part, np.full(300, 7, np.float32)])
        for part in (split.training, split.validation)
    ]

    latents = fit_mixture(SplitLatents(*flat), make_recipe(3), print).draw(
        100, np.random.default_rng(0), None, 1.0
    )

    assert latents[:, 2] == pytest.approx([7] * 100, abs=0.1)
