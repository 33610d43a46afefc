"""The protocol of detectors, the base of stored ones, and the runs of their networks.

Letters: N images, C channels, H height, W width; h x w is the resolution of an anomaly map.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from service.artifact.detectors.calibration import Calibration
from service.artifact.specs import NetworkName
from service.artifact.tensor_files import Floats, TensorRecord

__all__ = ["Calibration", "Detector", "Measurement", "Outputs", "StoredDetector", "run_networks"]

Outputs: TypeAlias = Mapping[NetworkName, Floats]
"""The first output of each network that ran."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Anomaly scores of images, and of the places in them."""

    scores: Floats
    """(N,); larger is less normal."""
    maps: Floats | None = None
    """(N, h, w) in the same unit; None for a detector of whole images."""


class Detector(Protocol):
    """Measures how unlike the training images an image is. Called by several threads at once."""

    @property
    def calibration(self) -> Calibration:
        """The scores of held-out normal images."""

    def detect(self, images: Floats, outputs: Outputs) -> Measurement:
        """Return standard scores.

        Args:
            images: (N, C, H, W) in [0, 1].
            outputs: Those of the networks that the detector needs, for the same images.
        """


@dataclass(frozen=True, slots=True)
class StoredDetector(TensorRecord):
    """Base of detectors with fitted parameters in a file.

    `service.artifact.specs.DETECTOR_NETWORKS` names the networks that each kind needs.
    """

    calibration: Calibration

    def detect(self, images: Floats, outputs: Outputs) -> Measurement:
        """See `Detector.detect`."""
        raw, standardise = self.measure(images, outputs), self.calibration.standardise
        maps = None if raw.maps is None else standardise(raw.maps)
        return Measurement(standardise(raw.scores), maps)

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:
        """Return raw scores; arguments as for `Detector.detect`."""
        raise NotImplementedError

    def check_fit(self, shape: tuple[int, int, int]) -> None:
        """Check the parameters against images of shape (C, H, W).

        Raises:
            ArtifactError: they are for images of another shape.
        """


def run_networks(
    networks: tuple[NetworkName, ...], images: Floats
) -> Generator[tuple[NetworkName, Floats], list[Floats], dict[NetworkName, Floats]]:
    """Yield each run of a network as `(network, batch)`, receive its outputs, return the first."""
    outputs: dict[NetworkName, Floats] = {}
    for network in networks:
        batch = outputs["encoder"] if network == "decoder" else images
        outputs[network] = (yield network, batch)[0]
    return outputs


def select_strongest(maps: Floats, share: float) -> Floats:
    """Return the mean of the largest values of each map (N, h, w), a share of them, as (N,)."""
    values = maps.reshape(len(maps), -1)
    count = max(1, round(share * values.shape[1]))
    largest = np.partition(values, -count, axis=1)[:, -count:]
    means: Floats = largest.mean(axis=1, dtype=np.float64).astype(np.float32)
    return means
