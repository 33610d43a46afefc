"""Detectors of a bundle: loaded, or rejected with the reason."""

from pathlib import Path

import numpy as np
import pytest

from service.artifact import Bundle
from service.artifact.detectors import Calibration, CombinedDetector, NeighbourDetector
from service.errors import ArtifactError
from service.inference.detectors import load_detectors
from service.inference.model import load_model
from tests.support.fakes import FakeRuntime, write_bundle


def test_combined_detector_shares_its_members(tmp_path: Path) -> None:
    """The members of a combination are the loaded single detectors."""
    detectors = load_detectors(write_bundle(tmp_path, "full"))

    combined = detectors["combined"]
    assert isinstance(combined, CombinedDetector)
    assert combined.members == [detectors["segmentation"], detectors["reconstruction"]]


def test_detector_of_other_images_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model with a detector for images of another size is not loaded; the error has the file."""
    bundle, read = write_bundle(tmp_path, "full"), Bundle.read
    calibration = Calibration(np.zeros(1, np.float32), 0.0, 1.0)
    other = NeighbourDetector(calibration, np.zeros((1, 3), np.uint8)).to_bytes()

    def read_other(self: Bundle, name: str) -> bytes:
        return other if name == "neighbours.safetensors" else read(self, name)

    monkeypatch.setattr(Bundle, "read", read_other)

    with pytest.raises(ArtifactError, match=r"full@1: neighbours.safetensors: expected neighbours"):
        load_model(bundle, FakeRuntime())
