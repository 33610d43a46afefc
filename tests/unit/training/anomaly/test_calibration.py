"""Calibration with few held-out images."""

import numpy as np
import pytest

from training.anomaly.calibration import calibrate

RNG = np.random.default_rng(0)
NORMAL = RNG.gamma(4, size=300).astype(np.float32)


def find_raw_threshold(held_out: np.ndarray, known: np.ndarray) -> float:
    """Return the raw score that becomes 1."""
    calibration = calibrate(held_out.astype(np.float32), known.astype(np.float32))
    return calibration.centre + calibration.scale


def test_training_images_show_the_spread_that_few_images_hide() -> None:
    """Held-out images with nearly equal scores do not make every new image an anomaly."""
    alike = np.linspace(3.0, 3.2, 8)

    assert find_raw_threshold(alike, alike) < 4
    assert (find_raw_threshold(alike, NORMAL) < NORMAL).mean() < 0.02


def test_images_that_were_learned_by_heart_do_not_lower_the_threshold() -> None:
    """With lower scores of the training images the held-out images decide alone."""
    held_out = NORMAL[:50]

    threshold = find_raw_threshold(held_out, NORMAL[50:] / 10)

    assert threshold == pytest.approx(find_raw_threshold(held_out, held_out[:1]), rel=1e-6)


def test_defects_among_the_training_images_do_not_count() -> None:
    """A tenth of defective training images leaves the threshold under their scores."""
    defects = np.full(30, 60.0)

    clean = find_raw_threshold(NORMAL[:10], NORMAL[10:])
    spoiled = find_raw_threshold(NORMAL[:10], np.concatenate([NORMAL[10:], defects]))

    assert spoiled < 2 * clean
    assert 2 * clean < defects[0]
