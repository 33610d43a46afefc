"""Calibration of anomaly scores: thresholds, percentiles and intervals."""

import numpy as np
import pytest

from service.artifact.detectors.calibration import Calibration, find_quantile
from service.errors import ArtifactError


def test_standard_scores_are_0_at_the_median_and_1_at_one_percent() -> None:
    """The unit does not depend on the raw scores, so that methods and versions compare."""
    raw = np.arange(1, 1001, dtype=np.float32)

    for factor, shift in ((1.0, 0.0), (7.0, -300.0)):
        calibration = Calibration.fit(factor * raw + shift)
        scores = calibration.standardise(factor * np.float32([500.5, 991]) + shift)
        assert scores == pytest.approx([0, 1], abs=1e-4)
        assert calibration.find_threshold(0.01) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("count", [20, 200, 2000])
@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_new_normal_images_exceed_a_threshold_as_often_as_its_rate(count: int, rate: float) -> None:
    """On average over calibrations, also for rates that so few images cannot show."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(300):
        calibration = Calibration.fit(rng.exponential(size=count))
        threshold = calibration.find_threshold(rate) * calibration.scale + calibration.centre
        rates.append(np.exp(-max(threshold, 0)))  # the exact tail of the exponential distribution

    factor = 1.5 if rate * count > 1 else 5
    assert rate / factor <= np.mean(rates) <= rate * factor


def test_equal_scores_have_a_threshold() -> None:
    """Images that all have the same score give no division by zero."""
    calibration = Calibration.fit(np.full(5, 2.0))

    assert np.isfinite(calibration.standardise(np.float32([2, 3]))).all()
    assert calibration.find_threshold(0.01) == 0


def test_a_single_normal_image_gives_a_threshold() -> None:
    """The smallest calibration is one image; no further image is certainly an anomaly."""
    assert find_quantile(np.array([3.0]), 0.01) == 3


def test_percentiles_count_normal_images_with_at_most_the_score() -> None:
    """Below all is 0, and above all is 100."""
    calibration = Calibration(np.float32([0, 1, 2, 3]), 0.0, 1.0)

    assert calibration.rank(np.float32([-1, 1, 2.5, 9])).tolist() == [0, 50, 75, 100]


def test_interval_is_that_of_wilson() -> None:
    """1 false alarm in 100 images: 0.18 % to 5.45 % (Wilson, 1927)."""
    calibration = Calibration(np.arange(100, dtype=np.float32), 0.0, 1.0)

    alarms = calibration.count_false_alarms(98.5)

    assert (alarms.images, alarms.rate) == (100, 0.01)
    assert (alarms.low, alarms.high) == pytest.approx((0.0018, 0.0545), abs=2e-4)


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [
        (Calibration(np.float32([1, 0]), 0.0, 1.0), "ascending"),
        (Calibration(np.float32([0, 1]), 0.0, 0.0), "greater than 0, got 0"),
    ],
)
def test_invalid_calibration_is_rejected(calibration: Calibration, reason: str) -> None:
    """A stored calibration must be usable."""
    with pytest.raises(ArtifactError, match=reason):
        Calibration.from_bytes(calibration.to_bytes())
