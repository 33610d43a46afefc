"""Detectors of anomalies. Training fits and judges the same classes that the service runs."""

from service.artifact.detectors.base import (
    Calibration,
    Detector,
    Measurement,
    StoredDetector,
    run_networks,
)
from service.artifact.detectors.combined import CombinedDetector
from service.artifact.detectors.neighbours import NeighbourDetector
from service.artifact.detectors.network_map import PatchDensityDetector, SegmentationDetector
from service.artifact.detectors.reconstruction import ReconstructionDetector

__all__ = [
    "COMBINED",
    "STORED_DETECTORS",
    "Calibration",
    "CombinedDetector",
    "Detector",
    "Measurement",
    "NeighbourDetector",
    "PatchDensityDetector",
    "ReconstructionDetector",
    "SegmentationDetector",
    "StoredDetector",
    "run_networks",
]

COMBINED = "combined"
"""The kind whose specification names other detectors."""

STORED_DETECTORS: dict[str, type[StoredDetector]] = {
    "reconstruction": ReconstructionDetector,
    "neighbours": NeighbourDetector,
    "patches": PatchDensityDetector,
    "segmentation": SegmentationDetector,
}
"""The class that reads the file of each kind, except `COMBINED`."""
