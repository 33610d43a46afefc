"""The measures of samples: what good, copied, collapsed and strange samples score."""

import time
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from training.sampling.judge import Verdicts
from training.sampling.quality import (
    Features,
    compare_nearest,
    measure_closeness,
    measure_frechet,
    measure_nearest,
    measure_recognition,
)


def draw(seed: int, count: int = 600, size: int = 8, shift: float = 0.0) -> NDArray[np.float32]:
    """Return normally distributed features."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((count, size)) + shift).astype(np.float32)


def test_the_frechet_distance_of_a_set_to_itself_is_nothing() -> None:
    """Also where there are fewer images than features, so that covariances have no inverse."""
    many, few = draw(0).astype(np.float64), draw(1, count=5, size=20).astype(np.float64)

    assert measure_frechet(many, many) == pytest.approx(0, abs=1e-9)
    assert measure_frechet(few, few) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_normal_distributions_is_the_known_one() -> None:
    """Means d apart and standard deviations 1 and s: F d**2 + F (s - 1)**2."""
    real = draw(0, count=200_000, size=3).astype(np.float64)
    samples = 2.5 * draw(1, count=200_000, size=3).astype(np.float64) + 0.7

    assert measure_frechet(samples, real) == pytest.approx(3 * 0.7**2 + 3 * 1.5**2, rel=0.01)
    assert measure_frechet(real, samples) == pytest.approx(measure_frechet(samples, real))


def test_the_frechet_distance_sees_correlation() -> None:
    """The same means and variances are not the same distribution."""
    real = draw(0, count=20_000, size=2).astype(np.float64)
    samples = real[:, :1].repeat(2, axis=1)

    # The root of a covariance [[1, 1], [1, 1]] has the trace sqrt(2): 2 + 2 - 2 sqrt(2).
    assert measure_frechet(samples, real) == pytest.approx(4 - 2 * np.sqrt(2), rel=0.05)


def test_a_set_is_as_close_to_itself_as_can_be() -> None:
    """Density 1 and coverage, precision and recall 1."""
    same = Features.of(draw(0))

    assert measure_closeness(same, same) == pytest.approx((1, 1, 1, 1), abs=1e-12)


def test_two_draws_of_one_distribution_are_close() -> None:
    """Density is near 1, and most of the real images are covered."""
    found = measure_closeness(Features.of(draw(0)), Features.of(draw(1)))

    assert found.density == pytest.approx(1, abs=0.15)
    assert min(found.coverage, found.precision, found.recall) > 0.8


def test_strange_samples_are_neither_dense_nor_precise() -> None:
    """Far from all real images everything is 0."""
    found = measure_closeness(Features.of(draw(0, shift=50)), Features.of(draw(1)))

    assert found == (0, 0, 0, 0)


def test_a_collapsed_sampler_shows_in_coverage_and_recall() -> None:
    """Samples around one real image are precise and cover next to nothing."""
    real = draw(1)
    collapsed = real[:1] + 0.01 * draw(0)

    found = measure_closeness(Features.of(collapsed), Features.of(real))

    assert found.precision == 1
    assert found.coverage < 0.1
    assert found.recall < 0.1


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks give the figures of one that holds everything."""
    samples, real = draw(0, count=130), draw(1, count=101)
    whole = measure_closeness(Features.of(samples), Features.of(real))

    monkeypatch.setattr("training.sampling.quality._BLOCK", 7)

    assert measure_closeness(Features.of(samples), Features.of(real)) == pytest.approx(whole)


def test_density_and_coverage_agree_with_their_definitions() -> None:
    """On a few points the figures are those that loops over all pairs give."""
    samples, real = draw(0, count=40, size=2), draw(1, count=30, size=2, shift=0.5)
    distances = np.linalg.norm(samples[:, None] - real[None], axis=2)
    between = np.linalg.norm(real[:, None] - real[None], axis=2)
    inside = distances < np.sort(between, axis=1)[:, 5]

    found = measure_closeness(Features.of(samples), Features.of(real))

    assert found.density == pytest.approx(inside.sum() / (5 * 40))
    assert found.coverage == pytest.approx(inside.any(axis=0).mean())
    assert found.precision == pytest.approx(inside.any(axis=1).mean())


def test_ten_thousand_images_take_little_memory_and_time() -> None:
    """Both figures stay far below what a full matrix of distances would take."""
    values = draw(0, count=10_000, size=128)
    tracemalloc.start()
    started = time.process_time()

    features = Features.of(values)
    measure_closeness(features, features)

    assert time.process_time() - started < 60
    assert tracemalloc.get_traced_memory()[1] < 400e6
    tracemalloc.stop()


def test_a_sampler_that_copies_shows_in_memorisation() -> None:
    """Copies have distance 0; images as new as the test images have a ratio of 1."""
    generator = np.random.default_rng(0)
    training = generator.integers(0, 256, (300, 1, 6, 6), dtype=np.uint8)
    test, fresh = generator.random((2, 200, 1, 6, 6), dtype=np.float32)
    usual = measure_nearest(test, training)

    copied = compare_nearest(measure_nearest(training[:200] / np.float32(255), training), usual)
    new = compare_nearest(measure_nearest(fresh, training), usual)

    assert copied.ratio < 0.01
    assert copied.near == 1
    assert new.ratio == pytest.approx(1, abs=0.05)
    assert new.near < 0.05


def test_the_nearest_training_image_is_found_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distances are those of loops over all pairs."""
    monkeypatch.setattr("training.sampling.quality._BLOCK", 7)
    generator = np.random.default_rng(0)
    training = generator.integers(0, 256, (30, 3, 4, 5), dtype=np.uint8)
    images = generator.random((9, 3, 4, 5), dtype=np.float32)

    pairs = (images[:, None] - training[None] / 255).reshape(9, 30, -1)

    assert measure_nearest(images, training) == pytest.approx(
        np.linalg.norm(pairs, axis=2).min(axis=1), rel=1e-4
    )


def test_recognition_counts_sure_samples_and_the_classes_they_reach() -> None:
    """A class with under one in a hundred of the recognisable samples is not reached."""
    rows = [[0.95, 0.03, 0.02]] * 150 + [[0.02, 0.95, 0.03]] * 49 + [[0.0, 0.05, 0.95]]
    unsure = [[0.5, 0.4, 0.1]] * 200
    probabilities = np.array([*rows, *unsure], dtype=np.float32)

    share, classes = measure_recognition(Verdicts(probabilities, np.zeros((400, 1), np.float32)))

    assert share == 0.5
    assert classes == 2


def test_samples_that_nobody_recognises_reach_no_class() -> None:
    """The figures are 0, not undefined."""
    unsure = np.full((10, 4), 0.25, dtype=np.float32)

    assert measure_recognition(Verdicts(unsure, unsure)) == (0.0, 0)
