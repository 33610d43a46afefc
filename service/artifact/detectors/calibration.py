"""Calibration of anomaly scores on held-out normal images.

A standard score is 0 at the median of normal images and 1 at the threshold of a false-alarm rate of
1 %. It has the same meaning for every detector and every version of a bundle.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.tensor_files import Doubles, Floats, TensorRecord
from service.errors import ArtifactError

DEFAULT_RATE = 0.01
"""The default false-alarm rate."""
_TAIL = 0.1
_MIN_TAIL = 10
_CONFIDENCE = 1.96
_MIN_SCALE = 1e-9


@dataclass(frozen=True, slots=True)
class Calibration(TensorRecord):
    """Scores of M held-out normal images, and the map from raw to standard scores."""

    shapes: ClassVar[Mapping[str, str]] = {"normal_scores": "M"}

    normal_scores: Floats
    """(M,) standard scores, ascending."""
    centre: float
    """The raw score that becomes 0."""
    scale: float
    """Raw units of one standard unit, greater than 0."""

    @classmethod
    def fit(cls, raw: NDArray[np.floating]) -> Self:
        """Return the calibration for the raw scores (M,) of held-out normal images."""
        ordered = np.sort(raw.astype(np.float64))
        centre = float(np.median(ordered))
        scale = max(find_quantile(ordered, DEFAULT_RATE) - centre, _MIN_SCALE)
        return cls(((ordered - centre) / scale).astype(np.float32), centre, scale)

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (np.diff(self.normal_scores) < 0).any():
            raise ArtifactError("expected ascending normal_scores")
        if self.scale <= 0:
            raise ArtifactError(f"expected a scale greater than 0, got {self.scale}")

    def standardise(self, raw: Floats) -> Floats:
        """Return the standard scores of raw scores of any shape."""
        return ((raw - self.centre) / self.scale).astype(np.float32)

    def find_threshold(self, rate: float) -> float:
        """Return the threshold with a false-alarm rate of (0, 1) for new normal images."""
        return find_quantile(self.normal_scores.astype(np.float64), rate)

    def rank(self, scores: Floats) -> Doubles:
        """Return the percentage of normal images with at most each score (N,), in [0, 100]."""
        ranks = np.searchsorted(self.normal_scores, scores, side="right")
        return 100.0 * ranks / len(self.normal_scores)

    def count_false_alarms(self, threshold: float) -> "FalseAlarms":
        """Return the share of normal images over a threshold, and its 95 % interval.

        Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
        """
        count = len(self.normal_scores)
        share = float((self.normal_scores > threshold).mean())
        square = _CONFIDENCE**2 / count
        middle = (share + square / 2) / (1 + square)
        spread = _CONFIDENCE * math.sqrt(share * (1 - share) / count + square / (4 * count))
        low, high = middle - spread / (1 + square), middle + spread / (1 + square)
        return FalseAlarms(count, share, max(0.0, low), min(1.0, high))


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The false alarms of a threshold among the held-out normal images."""

    images: int
    """Number of the images."""
    rate: float
    """Share over the threshold."""
    low: float
    """Lower end of the 95 % interval of the rate for new normal images."""
    high: float
    """Upper end of the interval."""


def find_quantile(ordered: Doubles, rate: float) -> float:
    """Return the score that a further image of the same distribution exceeds with probability rate.

    The conformal quantile (Vovk et al., Algorithmic Learning in a Random World, 2005); for rates
    under 1 / (M + 1) an exponential tail continues the scores. It is fitted to the largest tenth,
    to at least ten scores, and to at most the larger half.

    Args:
        ordered: (M,) scores, ascending.
        rate: In (0, 1).
    """
    count = len(ordered)
    rank = math.ceil((1 - rate) * (count + 1))
    if rank <= count:
        return float(ordered[max(rank, 1) - 1])
    tail = max(1, round(_TAIL * count), min(count // 2, _MIN_TAIL))
    start = ordered[max(count - tail - 1, 0)]
    excess = float((ordered[-tail:] - start).mean())
    return max(float(ordered[-1]), float(start + excess * math.log(tail / (count * rate))))
