"""The kernel density: the bandwidth it chooses and the codes it keeps."""

import numpy as np
import pytest

from service.artifact.densities import KernelDensity
from training.config import DensityRecipe
from training.density import fit_density
from training.errors import TrainingError


def draw_codes(count: int, scales: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Return normal codes with a standard deviation for each dimension."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((count, len(scales))) * scales).astype(np.float32)


def test_the_bandwidth_is_near_the_known_best_of_a_normal_distribution() -> None:
    """Silverman's rule, (4 / (N (L + 2)))**(1 / (L + 4)) of a standard deviation, is best there."""
    codes = draw_codes(1000, (1.0, 1.0))
    expected = (4 / (1000 * 4)) ** (1 / 6)

    density, notes = fit_density(codes, None, DensityRecipe(bandwidths=(-1.5, 0.5, 21)), 0)

    assert density.bandwidth == pytest.approx(expected, rel=0.5)
    assert notes == ()


def test_dimensions_of_any_scale_share_a_bandwidth() -> None:
    """Stretching a dimension stretches its scale and changes no bandwidth."""
    codes = draw_codes(400, (1.0, 1.0))
    stretched = codes * np.array([1.0, 250.0], np.float32)

    plain, _ = fit_density(codes, None, DensityRecipe(), 0)
    wide, _ = fit_density(stretched, None, DensityRecipe(), 0)

    assert wide.bandwidth == plain.bandwidth
    assert wide.scale[1] == pytest.approx(250 * plain.scale[1], rel=1e-4)


def test_a_seeded_part_of_the_codes_is_kept_with_its_labels() -> None:
    """Each kept code still has its own label."""
    codes = draw_codes(300, (1.0,))
    labels = (codes[:, 0] > 0).astype(np.int64)
    recipe = DensityRecipe(max_codes=50)

    density, _ = fit_density(codes, labels, recipe, 3)
    again, _ = fit_density(codes, labels, recipe, 3)
    other, _ = fit_density(codes, labels, recipe, 4)

    assert density.codes.shape == (50, 1)
    assert np.array_equal(density.labels, density.codes[:, 0] > 0)
    assert np.array_equal(density.codes, again.codes)
    assert not np.array_equal(density.codes, other.codes)


def test_a_bandwidth_at_the_edge_of_the_grid_is_reported() -> None:
    """A better one may lie outside, so the recipe's key is named."""
    codes = draw_codes(200, (1.0,))

    _, notes = fit_density(codes, None, DensityRecipe(bandwidths=(0.5, 1.0, 5)), 0)

    assert len(notes) == 1
    assert "density.bandwidths" in notes[0]


def test_a_dimension_that_never_changes_is_refused() -> None:
    """It would make the density infinite there; the message says which."""
    codes = draw_codes(100, (1.0, 0.0))

    with pytest.raises(TrainingError, match="dimension 1"):
        fit_density(codes, None, DensityRecipe(), 0)


def test_the_density_survives_its_stored_form() -> None:
    """What the service reads is what was fitted."""
    density, _ = fit_density(draw_codes(50, (1.0, 2.0)), np.zeros(50, np.int64), DensityRecipe(), 0)

    read = KernelDensity.from_bytes(density.to_bytes())

    assert read.bandwidth == density.bandwidth
    assert np.array_equal(read.codes, density.codes)
    assert np.array_equal(read.scale, density.scale)


def test_a_rare_class_keeps_a_code() -> None:
    """Where few of many codes are kept, each class has at least one to draw around."""
    codes = draw_codes(1000, (1.0, 1.0))
    labels = np.zeros(1000, dtype=np.int64)
    labels[[3, 700]] = (1, 2)

    density, _ = fit_density(codes, labels, DensityRecipe(max_codes=20, bandwidths=(0, 0, 1)), 0)

    assert density.labels is not None
    assert set(density.labels.tolist()) == {0, 1, 2}
    assert len(density.codes) <= 22
