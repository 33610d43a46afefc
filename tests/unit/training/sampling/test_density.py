"""The kernel densities: the bandwidths they choose and the codes they keep."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from training.errors import TrainingError
from training.recipe.schema import Recipe, parse_recipe
from training.sampling.density import (
    Codes,
    fit_class_density,
    fit_density,
    fit_projected_density,
    measure_likelihood,
)


def draw_codes(count: int, scales: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Return normal codes with a standard deviation for each dimension."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((count, len(scales))) * scales).astype(np.float32)


def draw_split(count: int, scales: tuple[float, ...], seed: int = 0) -> Codes:
    """Return `count` training codes and as many validation codes, of no class."""
    codes = draw_codes(2 * count, scales, seed)
    return Codes(codes[:count], codes[count:])


def draw_classes(counts: tuple[int, ...], spreads: tuple[float, ...]) -> Codes:
    """Return normal codes in two dimensions, so many of each class, in training and validation."""
    labels = np.repeat(np.arange(len(counts)), counts)
    training, validation = (
        draw_codes(len(labels), (1.0, 1.0), seed) * np.array(spreads, np.float32)[labels][:, None]
        for seed in (0, 1)
    )
    return Codes(training, validation, labels, labels, len(counts))


def make_recipe(seed: int = 0, **density: object) -> Recipe:
    """Return a recipe with some members of its density."""
    members = {"name": "x", "seed": seed, "data": {"dataset": "digits"}, "autoencoder": {}}
    return parse_recipe({**members, "density": density})


@pytest.mark.parametrize("folds", [None, 5])
def test_the_bandwidth_is_near_the_known_best_of_a_normal_distribution(folds: int | None) -> None:
    """Silverman's rule, (4 / (N (L + 2)))**(1 / (L + 4)) of a standard deviation, is best there."""
    codes = draw_split(1000, (1.0, 1.0))
    expected = (4 / (1000 * 4)) ** (1 / 6)
    chosen = {} if folds is None else {"folds": folds}
    told: list[str] = []

    density = fit_density(codes, make_recipe(bandwidths=[-1.5, 0.5, 21], **chosen), told.append)

    assert density.bandwidth == pytest.approx(expected, rel=0.5)
    assert told == []


@pytest.mark.parametrize("bandwidth", [0.02, 0.3, 2.0])
def test_the_likelihood_is_exact(bandwidth: float) -> None:
    """It is the mean log of the mean of normal densities, however small they are."""
    codes = draw_split(300, (1.0, 3.0, 0.5))
    offsets = codes.validation[:, None].astype(np.float64) - codes.training

    found = measure_likelihood(codes.training, codes.validation, np.array([bandwidth]))

    kernels = norm.logpdf(offsets, scale=bandwidth).sum(axis=2)
    assert found == pytest.approx([(logsumexp(kernels, axis=1) - np.log(300)).mean()], rel=1e-5)


def test_the_bandwidth_is_chosen_on_validation_codes() -> None:
    """Validation codes beside training codes ask for a narrow kernel, others for a wide one."""
    codes = draw_codes(300, (1.0, 1.0))

    near = fit_density(Codes(codes, codes + np.float32(0.01)), make_recipe(), print)
    far = fit_density(Codes(codes, draw_codes(300, (1.5, 1.5), 1)), make_recipe(), print)

    assert near.bandwidth < 0.1
    assert far.bandwidth > 0.2


def test_dimensions_of_any_scale_share_a_bandwidth() -> None:
    """Stretching a dimension stretches its scale and changes no bandwidth."""
    codes = draw_split(400, (1.0, 1.0))
    factors = np.array([1.0, 250.0], np.float32)
    stretched = Codes(codes.training * factors, codes.validation * factors)

    plain, wide = (fit_density(some, make_recipe(), print) for some in (codes, stretched))

    assert wide.bandwidth == plain.bandwidth
    assert wide.scale[1] == pytest.approx(250 * plain.scale[1], rel=1e-4)


def test_a_seeded_part_of_the_codes_is_kept_with_its_labels() -> None:
    """Each kept code still has its own label."""
    codes = draw_codes(300, (1.0,))
    labels = (codes[:, 0] > 0).astype(np.int64)
    split = Codes(codes, codes[:50], labels, labels[:50], 2)

    density, again, other = (
        fit_density(split, make_recipe(seed, max_codes=50), print) for seed in (3, 3, 4)
    )

    assert density.codes.shape == (50, 1)
    assert np.array_equal(density.labels, density.codes[:, 0] > 0)
    assert np.array_equal(density.codes, again.codes)
    assert not np.array_equal(density.codes, other.codes)


def test_a_bandwidth_at_the_edge_of_the_grid_is_reported() -> None:
    """A better one may lie outside, so the recipe's key is named."""
    told: list[str] = []

    fit_density(draw_split(200, (1.0,)), make_recipe(bandwidths=[0.5, 1.0, 5]), told.append)

    assert len(told) == 1
    assert "density.bandwidths" in told[0]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (draw_split(100, (1.0, 0.0)), "dimension 1"),
        (Codes(draw_codes(100, (1.0,)), np.zeros((0, 1), np.float32)), "no validation images"),
    ],
)
def test_a_density_that_cannot_be_fitted(codes: Codes, reason: str) -> None:
    """A dimension that never changes, or no validation codes, are refused with the reason."""
    with pytest.raises(TrainingError, match=reason):
        fit_density(codes, make_recipe(), print)


def test_fewer_codes_than_folds_are_refused() -> None:
    """A cross-validation needs a code for each part."""
    with pytest.raises(TrainingError, match="fewer than 5"):
        fit_density(draw_split(4, (1.0,)), make_recipe(folds=5), print)


def test_a_rare_class_keeps_a_code() -> None:
    """Where few of many codes are kept, each class has at least one to draw around."""
    codes = draw_split(1000, (1.0, 1.0))
    labels = np.zeros(1000, dtype=np.int64)
    labels[[3, 700]] = (1, 2)
    split = Codes(codes.training, codes.validation, labels, labels, 3)

    density = fit_density(split, make_recipe(max_codes=20, bandwidths=[0, 0, 1]), print)

    assert density.labels is not None
    assert set(density.labels.tolist()) == {0, 1, 2}
    assert len(density.codes) <= 22


def test_each_class_gets_its_own_bandwidth_and_scale() -> None:
    """A class of many codes has a narrower kernel than one of few, in units of its own spread."""
    codes = draw_classes((1000, 30), (1.0, 20.0))

    density = fit_class_density(codes, make_recipe(), print)

    assert density.classes == {0, 1}
    assert density.bandwidths[0] < density.bandwidths[1]
    assert density.scales[:, 0] == pytest.approx([1, 20], rel=0.3)
    assert np.array_equal(np.bincount(density.labels), [1000, 30])


@pytest.mark.parametrize("counts", [(50, 1), (50, 0)])
def test_a_class_of_too_few_images_is_named(counts: tuple[int, int]) -> None:
    """No bandwidth can be chosen for a class with one image, or none."""
    codes = draw_classes(counts, (1.0, 1.0))

    with pytest.raises(TrainingError, match="class 1: "):
        fit_class_density(codes, make_recipe(), print)


def test_classes_are_needed_for_a_density_of_each() -> None:
    """Codes without labels have no class density."""
    with pytest.raises(TrainingError, match="no classes"):
        fit_class_density(draw_split(50, (1.0, 1.0)), make_recipe(), print)


def test_a_projected_density_covers_the_widest_plane() -> None:
    """Draws have the codes' mean and their two largest spreads, and none in the third dimension."""
    codes = draw_split(500, (1.0, 9.0, 3.0))
    moved = Codes(codes.training + np.float32(5), codes.validation + np.float32(5))

    density = fit_projected_density(moved, make_recipe(), print)

    latents = density.draw(2000, np.random.default_rng(0), None, 1.0)
    assert latents.mean(axis=0) == pytest.approx(moved.training.mean(axis=0), abs=0.6)
    assert latents.std(axis=0) == pytest.approx([0, 9, 3], rel=0.2, abs=0.3)


def test_codes_of_two_numbers_are_not_projected() -> None:
    """They lie on a plane as they are."""
    with pytest.raises(TrainingError, match="no projection"):
        fit_projected_density(draw_split(50, (1.0, 1.0)), make_recipe(), print)
