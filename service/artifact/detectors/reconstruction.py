"""The worst region of the reconstruction error, relative to the usual error of each place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.artifact.detectors.base import Measurement, Outputs, StoredDetector, select_strongest
from service.artifact.tensor_files import Floats
from service.errors import ArtifactError

_RADIUS_SHARE = 24
_REGION = 0.005


@dataclass(frozen=True, slots=True)
class ReconstructionDetector(StoredDetector):
    """Smoothed squared error in units of its mean and deviation at each place of normal images."""

    shapes: ClassVar[Mapping[str, str]] = {"mean": "HW", "deviation": "HW"}

    mean: Floats
    """(H, W) mean smoothed error of training images."""
    deviation: Floats
    """(H, W) its deviation, greater than 0."""

    def check(self) -> None:
        """See `TensorRecord.check`."""
        if (self.deviation <= 0).any():
            raise ArtifactError(f"expected a deviation over 0, got {self.deviation.min()}")

    def check_fit(self, shape: tuple[int, int, int]) -> None:
        """See `StoredDetector.check_fit`."""
        if self.mean.shape != shape[1:]:
            raise ArtifactError(f"expected error maps of {shape[1:]}, got {self.mean.shape}")

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:
        """See `StoredDetector.measure`."""
        maps = (smooth_errors(images, outputs["decoder"]) - self.mean) / self.deviation
        return Measurement(select_strongest(maps, _REGION), maps)


def smooth_errors(images: Floats, reconstructions: Floats) -> Floats:
    """Return the smoothed squared errors (N, H, W) of reconstructions (N, C, H, W)."""
    errors = np.square(reconstructions - images).mean(axis=1)
    radius = max(1, min(errors.shape[1:]) // _RADIUS_SHARE)
    for axis in (1, 2, 1, 2):  # two passes of a box are nearly a Gaussian
        errors = _average(errors, radius, axis)
    smooth: Floats = errors.astype(np.float32)
    return smooth


def _average(maps: Floats, radius: int, axis: int) -> Floats:
    """Return the moving average over 2 radius + 1 places along an axis; the border is repeated."""
    padding = [(0, 0)] * maps.ndim
    padding[axis] = (radius + 1, radius)
    sums = np.pad(maps, padding, mode="edge").cumsum(axis=axis, dtype=np.float64)
    size, width = maps.shape[axis], 2 * radius + 1
    ends = np.take(sums, range(width, width + size), axis=axis)
    starts = np.take(sums, range(size), axis=axis)
    averages: Floats = ((ends - starts) / width).astype(np.float32)
    return averages
