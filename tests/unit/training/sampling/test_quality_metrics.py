"""Metrics of sample quality for good, copied, collapsed and unrelated samples."""

import time
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from training.sampling.judge import JudgeOutput
from training.sampling.quality_metrics import (
    Features,
    compare_nearest,
    measure_frechet,
    measure_nearest,
    measure_neighbours,
    measure_recognition,
)


def draw(seed: int, count: int = 600, size: int = 8, shift: float = 0.0) -> NDArray[np.float32]:
    """Return normally distributed features."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((count, size)) + shift).astype(np.float32)


def test_the_frechet_distance_of_a_set_to_itself_is_0() -> None:
    """This includes sets with fewer images than features, whose covariance is singular."""
    many, few = draw(0).astype(np.float64), draw(1, count=5, size=20).astype(np.float64)

    assert measure_frechet(many, many) == pytest.approx(0, abs=1e-9)
    assert measure_frechet(few, few) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_normal_distributions_is_exact() -> None:
    """For means d apart and standard deviations 1 and s it is F d**2 + F (s - 1)**2."""
    real = draw(0, count=200_000, size=3).astype(np.float64)
    samples = 2.5 * draw(1, count=200_000, size=3).astype(np.float64) + 0.7

    assert measure_frechet(samples, real) == pytest.approx(3 * 0.7**2 + 3 * 1.5**2, rel=0.01)
    assert measure_frechet(real, samples) == pytest.approx(measure_frechet(samples, real))


def test_the_frechet_distance_includes_correlation() -> None:
    """Equal means and variances with different correlations give a positive distance."""
    real = draw(0, count=20_000, size=2).astype(np.float64)
    samples = real[:, :1].repeat(2, axis=1)

    # The root of a covariance [[1, 1], [1, 1]] has the trace sqrt(2): 2 + 2 - 2 sqrt(2).
    assert measure_frechet(samples, real) == pytest.approx(4 - 2 * np.sqrt(2), rel=0.05)


def test_a_set_has_ideal_neighbour_metrics_with_itself() -> None:
    """Density, coverage, precision and recall are 1."""
    same = Features.of(draw(0))

    assert measure_neighbours(same, same) == pytest.approx((1, 1, 1, 1), abs=1e-12)


def test_two_draws_of_one_distribution_have_good_neighbour_metrics() -> None:
    """Density is about 1, and the other metrics are high."""
    metrics = measure_neighbours(Features.of(draw(0)), Features.of(draw(1)))

    assert metrics.density == pytest.approx(1, abs=0.15)
    assert min(metrics.coverage, metrics.precision, metrics.recall) > 0.8


def test_unrelated_samples_have_neighbour_metrics_of_0() -> None:
    """Samples far from all real images are in no ball."""
    metrics = measure_neighbours(Features.of(draw(0, shift=50)), Features.of(draw(1)))

    assert metrics == (0, 0, 0, 0)


def test_a_collapsed_source_has_low_coverage_and_recall() -> None:
    """Samples around one real image have full precision and almost no coverage."""
    real = draw(1)
    collapsed = real[:1] + 0.01 * draw(0)

    metrics = measure_neighbours(Features.of(collapsed), Features.of(real))

    assert metrics.precision == 1
    assert metrics.coverage < 0.1
    assert metrics.recall < 0.1


def test_neighbour_metrics_do_not_depend_on_the_block_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small blocks and a single block give the same metrics."""
    samples, real = draw(0, count=130), draw(1, count=101)
    whole = measure_neighbours(Features.of(samples), Features.of(real))

    monkeypatch.setattr("training.sampling.quality_metrics._BLOCK", 7)

    assert measure_neighbours(Features.of(samples), Features.of(real)) == pytest.approx(whole)


def test_neighbour_metrics_agree_with_their_definitions() -> None:
    """They equal the values from a full matrix of distances."""
    samples, real = draw(0, count=40, size=2), draw(1, count=30, size=2, shift=0.5)
    distances = np.linalg.norm(samples[:, None] - real[None], axis=2)
    between = np.linalg.norm(real[:, None] - real[None], axis=2)
    inside = distances < np.sort(between, axis=1)[:, 5]

    metrics = measure_neighbours(Features.of(samples), Features.of(real))

    assert metrics.density == pytest.approx(inside.sum() / (5 * 40))
    assert metrics.coverage == pytest.approx(inside.any(axis=0).mean())
    assert metrics.precision == pytest.approx(inside.any(axis=1).mean())


def test_ten_thousand_images_need_little_memory_and_time() -> None:
    """The peak is far below the size of a full matrix of distances."""
    values = draw(0, count=10_000, size=128)
    tracemalloc.start()
    started = time.process_time()

    features = Features.of(values)
    measure_neighbours(features, features)

    assert time.process_time() - started < 60
    assert tracemalloc.get_traced_memory()[1] < 400e6
    tracemalloc.stop()


def test_memorisation_detects_copies() -> None:
    """Copies have a ratio of 0, new images one of 1."""
    generator = np.random.default_rng(0)
    training = generator.integers(0, 256, (300, 1, 6, 6), dtype=np.uint8)
    test, fresh = generator.random((2, 200, 1, 6, 6), dtype=np.float32)
    typical = measure_nearest(test, training)

    copied = compare_nearest(measure_nearest(training[:200] / np.float32(255), training), typical)
    new = compare_nearest(measure_nearest(fresh, training), typical)

    assert copied.ratio < 0.01
    assert copied.near == 1
    assert new.ratio == pytest.approx(1, abs=0.05)
    assert new.near < 0.05


def test_nearest_distances_do_not_depend_on_the_block_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They equal the values from a full matrix of distances."""
    monkeypatch.setattr("training.sampling.quality_metrics._BLOCK", 7)
    generator = np.random.default_rng(0)
    training = generator.integers(0, 256, (30, 3, 4, 5), dtype=np.uint8)
    images = generator.random((9, 3, 4, 5), dtype=np.float32)

    pairs = (images[:, None] - training[None] / 255).reshape(9, 30, -1)

    assert measure_nearest(images, training) == pytest.approx(
        np.linalg.norm(pairs, axis=2).min(axis=1), rel=1e-4
    )


def test_recognition_counts_confident_samples_and_their_classes() -> None:
    """A class with less than 1 % of the recognisable samples does not count."""
    rows = [[0.95, 0.03, 0.02]] * 150 + [[0.02, 0.95, 0.03]] * 49 + [[0.0, 0.05, 0.95]]
    unsure = [[0.5, 0.4, 0.1]] * 200
    probabilities = np.array([*rows, *unsure], dtype=np.float32)

    share, classes = measure_recognition(JudgeOutput(probabilities, np.zeros((400, 1), np.float32)))

    assert share == 0.5
    assert classes == 2


def test_unrecognisable_samples_give_metrics_of_0() -> None:
    """The share and the number of classes are 0, not undefined."""
    unsure = np.full((10, 4), 0.25, dtype=np.float32)

    assert measure_recognition(JudgeOutput(unsure, unsure)) == (0.0, 0)
