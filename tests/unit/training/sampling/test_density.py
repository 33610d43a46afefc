"""Kernel densities: chosen bandwidths and kept latents."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from training.errors import TrainingError
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe
from training.sampling.density import (
    fit_class_density,
    fit_density,
    fit_projected_density,
    measure_likelihood,
)
from training.sampling.latents import SplitLatents


def draw_latents(count: int, scales: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Return normally distributed latents with a standard deviation per dimension."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((count, len(scales))) * scales).astype(np.float32)


def draw_split(count: int, scales: tuple[float, ...], seed: int = 0) -> SplitLatents:
    """Return `count` training and `count` validation latents, without classes."""
    latents = draw_latents(2 * count, scales, seed)
    return SplitLatents(latents[:count], latents[count:])


def draw_classes(counts: tuple[int, ...], spreads: tuple[float, ...]) -> SplitLatents:
    """Return `counts` normally distributed latents per class, for training and validation."""
    labels = np.repeat(np.arange(len(counts)), counts)
    training, validation = (
        draw_latents(len(labels), (1.0, 1.0), seed) * np.array(spreads, np.float32)[labels][:, None]
        for seed in (0, 1)
    )
    return SplitLatents(training, validation, labels, labels, len(counts))


def make_recipe(seed: int = 0, **density: object) -> Recipe:
    """Return a recipe with these settings of its density."""
    members = {"name": "x", "seed": seed, "data": {"dataset": "digits"}, "autoencoder": {}}
    return parse_recipe({**members, "density": density})


@pytest.mark.parametrize("folds", [None, 5])
def test_the_bandwidth_of_a_normal_distribution_is_near_the_optimum(folds: int | None) -> None:
    """Silverman's rule, (4 / (N (L + 2)))**(1 / (L + 4)) standard deviations, is optimal."""
    latents = draw_split(1000, (1.0, 1.0))
    expected = (4 / (1000 * 4)) ** (1 / 6)
    settings = {} if folds is None else {"folds": folds}
    warnings: list[str] = []

    density = fit_density(
        latents, make_recipe(bandwidths=[-1.5, 0.5, 21], **settings), warnings.append
    )

    assert density.bandwidth == pytest.approx(expected, rel=0.5)
    assert warnings == []


@pytest.mark.parametrize("bandwidth", [0.02, 0.3, 2.0])
def test_the_likelihood_is_exact(bandwidth: float) -> None:
    """It equals the mean logarithm of the mean kernel, even if that underflows."""
    latents = draw_split(300, (1.0, 3.0, 0.5))
    offsets = latents.validation[:, None].astype(np.float64) - latents.training

    likelihood = measure_likelihood(latents.training, latents.validation, np.array([bandwidth]))

    kernels = norm.logpdf(offsets, scale=bandwidth).sum(axis=2)
    assert likelihood == pytest.approx(
        [(logsumexp(kernels, axis=1) - np.log(300)).mean()], rel=1e-5
    )


def test_the_bandwidth_is_chosen_on_validation_latents() -> None:
    """Validation latents near training latents give a narrow kernel, distant ones a wide one."""
    latents = draw_latents(300, (1.0, 1.0))

    near = fit_density(SplitLatents(latents, latents + np.float32(0.01)), make_recipe(), print)
    far = fit_density(SplitLatents(latents, draw_latents(300, (1.5, 1.5), 1)), make_recipe(), print)

    assert near.bandwidth < 0.1
    assert far.bandwidth > 0.2


def test_dimensions_of_any_scale_share_a_bandwidth() -> None:
    """Scaling a dimension changes its scale and not the bandwidth."""
    latents = draw_split(400, (1.0, 1.0))
    factors = np.array([1.0, 250.0], np.float32)
    stretched = SplitLatents(latents.training * factors, latents.validation * factors)

    plain, wide = (fit_density(some, make_recipe(), print) for some in (latents, stretched))

    assert wide.bandwidth == plain.bandwidth
    assert wide.scale[1] == pytest.approx(250 * plain.scale[1], rel=1e-4)


def test_a_seeded_subset_of_latents_is_kept_with_labels() -> None:
    """Each kept latent has its own label."""
    latents = draw_latents(300, (1.0,))
    labels = (latents[:, 0] > 0).astype(np.int64)
    split = SplitLatents(latents, latents[:50], labels, labels[:50], 2)

    density, again, other = (
        fit_density(split, make_recipe(seed, max_codes=50), print) for seed in (3, 3, 4)
    )

    assert density.codes.shape == (50, 1)
    assert np.array_equal(density.labels, density.codes[:, 0] > 0)
    assert np.array_equal(density.codes, again.codes)
    assert not np.array_equal(density.codes, other.codes)


def test_a_bandwidth_at_the_edge_of_the_grid_is_reported() -> None:
    """The warning names the recipe's key."""
    warnings: list[str] = []

    fit_density(draw_split(200, (1.0,)), make_recipe(bandwidths=[0.5, 1.0, 5]), warnings.append)

    assert len(warnings) == 1
    assert "density.bandwidths" in warnings[0]


@pytest.mark.parametrize(
    ("latents", "reason"),
    [
        (draw_split(100, (0.0, 0.0)), "the same for all images"),
        (
            SplitLatents(draw_latents(100, (1.0,)), np.zeros((0, 1), np.float32)),
            "0 validation images",
        ),
    ],
)
def test_unusable_latents_are_rejected(latents: SplitLatents, reason: str) -> None:
    """Constant latents and missing validation latents have their own errors."""
    with pytest.raises(TrainingError, match=reason):
        fit_density(latents, make_recipe(), print)


def test_constant_dimensions_stay_constant() -> None:
    """A dead unit does not prevent a density: its value is the same in every draw."""
    latents, lines = draw_split(100, (1.0, 0.0)), []

    density = fit_density(latents, make_recipe(), lines.append)

    draws = density.draw(50, np.random.default_rng(0), None, 1.0)
    assert draws[:, 0].std() > 0
    assert set(draws[:, 1].tolist()) == set(latents.training[:, 1].tolist())
    assert any("1 of 2 latent dimensions are constant" in line for line in lines)


def test_fewer_latents_than_folds_are_rejected() -> None:
    """A cross-validation requires at least one latent per fold."""
    with pytest.raises(TrainingError, match="5 folds require 5 training images, got 4"):
        fit_density(draw_split(4, (1.0,)), make_recipe(folds=5), print)


def test_a_rare_class_keeps_a_latent() -> None:
    """A small subset contains at least one latent of each class."""
    latents = draw_split(1000, (1.0, 1.0))
    labels = np.zeros(1000, dtype=np.int64)
    labels[[3, 700]] = (1, 2)
    split = SplitLatents(latents.training, latents.validation, labels, labels, 3)

    density = fit_density(split, make_recipe(max_codes=20, bandwidths=[0, 0, 1]), print)

    assert density.labels is not None
    assert set(density.labels.tolist()) == {0, 1, 2}
    assert len(density.codes) <= 22


def test_each_class_has_its_own_bandwidth_and_scale() -> None:
    """A class with many latents has a narrower kernel, relative to its scale."""
    latents = draw_classes((1000, 30), (1.0, 20.0))

    density = fit_class_density(latents, make_recipe(), print)

    assert density.classes == {0, 1}
    assert density.bandwidths[0] < density.bandwidths[1]
    assert density.scales[:, 0] == pytest.approx([1, 20], rel=0.3)
    assert np.array_equal(np.bincount(density.labels), [1000, 30])


@pytest.mark.parametrize("counts", [(50, 1), (50, 0)])
def test_a_class_of_too_few_images_is_named(counts: tuple[int, int]) -> None:
    """A bandwidth requires more than one image."""
    latents = draw_classes(counts, (1.0, 1.0))

    with pytest.raises(TrainingError, match="class 1: "):
        fit_class_density(latents, make_recipe(), print)


def test_class_densities_require_classes() -> None:
    """Latents without labels are rejected."""
    with pytest.raises(TrainingError, match="no classes"):
        fit_class_density(draw_split(50, (1.0, 1.0)), make_recipe(), print)


def test_a_projected_density_covers_the_widest_plane() -> None:
    """Draws have the mean and the two largest deviations of the latents, and no third one."""
    latents = draw_split(500, (1.0, 9.0, 3.0))
    moved = SplitLatents(latents.training + np.float32(5), latents.validation + np.float32(5))

    density = fit_projected_density(moved, make_recipe(), print)

    latents = density.draw(2000, np.random.default_rng(0), None, 1.0)
    assert latents.mean(axis=0) == pytest.approx(moved.training.mean(axis=0), abs=0.6)
    assert latents.std(axis=0) == pytest.approx([0, 9, 3], rel=0.2, abs=0.3)


def test_a_latent_plane_is_not_projected() -> None:
    """Two latent dimensions are rejected."""
    with pytest.raises(TrainingError, match="more than 2 latent dimensions"):
        fit_projected_density(draw_split(50, (1.0, 1.0)), make_recipe(), print)
