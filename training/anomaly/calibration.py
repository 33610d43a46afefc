"""Calibration with few held-out images."""

import math

import numpy as np

from service.artifact.detectors import Calibration
from training.anomaly.made_up import Floats

_RARE = 0.005
"""Share of normal images over the bound for training images."""


def calibrate(held_out: Floats, known: Floats) -> Calibration:
    """Return the calibration with the higher threshold: without or with training images.

    A dozen held-out images can by chance have similar scores, which gives many false alarms. The
    scores of training images show that, unless the detector has learned these images by heart; then
    they are lower, and the held-out images decide. Defects among the training images do not count:
    scores over a bound that follows from the middle half are left out.

    Args:
        held_out: (N,) raw scores of held-out normal images.
        known: (M,) raw scores of training images.
    """
    middle, upper = np.quantile(known, [0.5, 0.75])
    bound = middle + (upper - middle) / math.log(2) * math.log(0.5 / _RARE)
    pooled = np.concatenate([held_out, known[known <= bound]])
    both = (Calibration.fit(held_out), Calibration.fit(pooled))
    return max(both, key=lambda calibration: calibration.centre + calibration.scale)
