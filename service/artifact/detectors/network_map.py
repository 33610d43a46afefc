"""Detectors whose anomaly map is the output of a network."""

from dataclasses import dataclass

from service.artifact.detectors.base import Measurement, Outputs, StoredDetector, select_strongest
from service.artifact.tensor_files import Floats

_REGION = 0.005


@dataclass(frozen=True, slots=True)
class PatchDensityDetector(StoredDetector):
    """The least likely patches under a normal distribution for each place.

    Defard et al., PaDiM, 2021, on principal components of pixels instead of foreign features.
    """

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:  # noqa: ARG002
        """See `StoredDetector.measure`."""
        return _measure_map(outputs["patch_density"])


@dataclass(frozen=True, slots=True)
class SegmentationDetector(StoredDetector):
    """The strongest places of a network that was trained to mark made-up defects.

    Zavrtanik et al., DRAEM, 2021; Schlueter et al., Natural Synthetic Anomalies, 2022.
    """

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:  # noqa: ARG002
        """See `StoredDetector.measure`."""
        return _measure_map(outputs["segmenter"])


def _measure_map(maps: Floats) -> Measurement:
    return Measurement(select_strongest(maps, _REGION), maps)
