"""The largest standard score of several detectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.artifact.detectors.base import Detector, Measurement, Outputs
from service.artifact.detectors.calibration import Calibration
from service.artifact.tensor_files import Floats


@dataclass(frozen=True, slots=True)
class CombinedDetector:
    """Finds what any of its members finds: the maximum of their standard scores."""

    calibration: Calibration
    members: Sequence[Detector]

    def detect(self, images: Floats, outputs: Outputs) -> Measurement:
        """See `Detector.detect`."""
        raw, standardise = self.measure(images, outputs), self.calibration.standardise
        maps = None if raw.maps is None else standardise(raw.maps)
        return Measurement(standardise(raw.scores), maps)

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:
        """Return the maximum of the members' standard scores, before its own calibration."""
        found = [member.detect(images, outputs) for member in self.members]
        scores = np.max([each.scores for each in found], axis=0)
        size = images.shape[2:]
        maps = [resize_maps(each.maps, size) for each in found if each.maps is not None]
        return Measurement(scores, np.max(maps, axis=0) if maps else None)


def resize_maps(maps: Floats, size: tuple[int, ...]) -> Floats:
    """Return maps (N, h, w) at another size (H, W), interpolated linearly."""
    if maps.shape[1:] == size:
        return maps
    rows, columns = (_interpolate(*pair) for pair in zip(maps.shape[1:], size, strict=True))
    resized: Floats = (rows @ maps @ columns.T).astype(np.float32, copy=False)
    return resized


def _interpolate(before: int, after: int) -> Floats:
    """Return the weights (after, before) that interpolate a line of samples."""
    places = (np.arange(after) + 0.5) * before / after - 0.5
    distances = np.abs(places.clip(0, before - 1)[:, None] - np.arange(before))
    weights: Floats = np.maximum(0, 1 - distances).astype(np.float32)
    return weights
