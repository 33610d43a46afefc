"""The detectors of a run: fitted, calibrated on held-out images, and the best of them chosen.

The test images choose nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from service.artifact import DetectorSpec, Metric
from service.artifact.detectors import (
    COMBINED,
    Calibration,
    CombinedDetector,
    Detector,
    Measurement,
    NeighbourDetector,
    PatchDensityDetector,
    ReconstructionDetector,
    SegmentationDetector,
    StoredDetector,
)
from service.artifact.specs import DETECTOR_NETWORKS, NetworkName
from training.anomaly.choice import Comparison, compare
from training.anomaly.made_up import Floats
from training.anomaly.runner import NetworkRunner
from training.anomaly.segmentation import fit_segmenter
from training.anomaly.statistics import choose_neighbours, fit_patch_density, measure_errors
from training.data.splits import LabelledImages, Pixels, Splits
from training.fitting.network_set import NetworkSet
from training.randomness import make_rng
from training.recipe.schema import Recipe

_TRAINING, _HELD_OUT, _REBUILT = 4000, 1000, 500
_MAX_BYTES, _MIN_IMAGES = 64 * 1024 * 1024, 20
_CHUNK = 256
_WEIGHTS_FILE = "segmenter.pt"
_UNFITTED = Calibration(np.zeros(1, np.float32), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class FittedDetectors:
    """The detectors of a bundle and the networks that only they use."""

    detectors: dict[str, Detector]
    specs: dict[str, DetectorSpec]
    default: str
    runner: NetworkRunner

    @property
    def modules(self) -> dict[NetworkName, nn.Module]:
        """`patch_density` and `segmenter`."""
        names: tuple[NetworkName, ...] = ("patch_density", "segmenter")
        return {name: self.runner.modules[name] for name in names}

    def list_files(self) -> dict[str, bytes]:
        """Return the files that the specifications name."""
        files = {}
        for name, spec in self.specs.items():
            detector = self.detectors[name]
            stored = detector if isinstance(detector, StoredDetector) else detector.calibration
            files[spec.file] = stored.to_bytes()
        return files

    def detect(self, name: str, pixels: Pixels) -> Measurement:
        """Return the standard scores of images (N, C, H, W) uint8 and of their places."""
        spec = self.specs[name]
        kinds = [self.specs[member].kind for member in spec.members] or [spec.kind]
        return self.runner.detect(self.detectors[name], kinds, to_floats(pixels))

    def score(self, name: str, pixels: Pixels) -> Floats:
        """Return the standard scores (N,) of many images (N, C, H, W) uint8."""
        chunks = range(0, len(pixels), _CHUNK)
        return np.concatenate([self.detect(name, pixels[n : n + _CHUNK]).scores for n in chunks])


def fit_detectors(
    recipe: Recipe,
    splits: Splits,
    networks: NetworkSet,
    folder: Path,
    report_progress: Callable[[str], None],
) -> FittedDetectors:
    """Fit every detector, calibrate it on validation images and choose the default.

    Args:
        recipe: Its seed and the steps of the segmenter.
        splits: The images; the test images are not read.
        networks: The trained networks.
        folder: Folder of the segmenter's weights.
        report_progress: Receives a line for the fit and one for the choice.
    """
    report_progress("fitting detectors of anomalies")
    seed, autoencoder = recipe.seed, networks.autoencoder
    pixels = _draw(splits.train, _TRAINING, seed)
    steps = recipe.detection.limit_steps(recipe.minutes)
    folder.mkdir(exist_ok=True)
    runner = NetworkRunner(
        {
            "encoder": autoencoder.encoder,
            "decoder": autoencoder.decoder,
            "patch_density": fit_patch_density(pixels, seed),
            "segmenter": fit_segmenter(pixels, steps, seed, folder / _WEIGHTS_FILE),
        }
    )
    held_out = to_floats(_draw(splits.validation, _HELD_OUT, seed))
    unfitted = _fit_statistics(pixels, runner, seed)
    if recipe.data.examples == 0:
        del unfitted["neighbours"]  # they are private images
    fitted = _calibrate(unfitted, runner, held_out, seed)
    best = fitted.specs[fitted.default]
    members = f" of {', '.join(best.members)}" if best.members else ""
    separation = best.quality["validation_auroc"].value
    report_progress(
        f"detector: {fitted.default}{members}, AUROC {separation:.3f} (made-up defects)"
    )
    return fitted


def to_floats(pixels: Pixels) -> Floats:
    """Return uint8 pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def detector_file(name: str) -> str:
    """Return the file name of a detector in a bundle."""
    return f"{name}_detector.safetensors"


def _draw(images: LabelledImages, count: int, seed: int) -> Pixels:
    """Return at most `count` random images and 64 MiB, in their order."""
    allowed = max(_MIN_IMAGES, min(count, _MAX_BYTES // images.pixels[0].nbytes))
    order = make_rng(seed, "detectors", len(images)).permutation(len(images))[:allowed]
    return np.ascontiguousarray(images.pixels[np.sort(order)])


def _fit_statistics(pixels: Pixels, runner: NetworkRunner, seed: int) -> dict[str, StoredDetector]:
    """Return the detectors by kind, without calibration."""
    sample = to_floats(pixels[:_REBUILT])
    rebuilt = runner.run(DETECTOR_NETWORKS["reconstruction"], sample)["decoder"]
    return {
        "segmentation": SegmentationDetector(_UNFITTED),
        "patches": PatchDensityDetector(_UNFITTED),
        "reconstruction": ReconstructionDetector(_UNFITTED, *measure_errors(sample, rebuilt)),
        "neighbours": NeighbourDetector(_UNFITTED, choose_neighbours(pixels, seed)),
    }


def _calibrate(
    unfitted: dict[str, StoredDetector], runner: NetworkRunner, images: Floats, seed: int
) -> FittedDetectors:
    """Calibrate detectors on held-out normal images; add the best maximum of several, if any."""
    raw = runner.measure_raw(unfitted, images)
    detectors: dict[str, Detector] = {
        kind: replace(detector, calibration=Calibration.fit(raw[kind]))
        for kind, detector in unfitted.items()
    }
    normal = {kind: each.calibration.standardise(raw[kind]) for kind, each in detectors.items()}
    comparison = compare(detectors, normal, images, runner, seed)
    specs = {kind: _describe(comparison, (kind,)) for kind in detectors}
    chosen = comparison.choose()
    if len(chosen) == 1:
        return FittedDetectors(detectors, specs, chosen[0], runner)
    calibration = Calibration.fit(np.max([normal[kind] for kind in chosen], axis=0))
    members = [detectors[kind] for kind in chosen]
    detectors[COMBINED] = CombinedDetector(calibration, members)
    specs[COMBINED] = _describe(comparison, chosen)
    return FittedDetectors(detectors, specs, COMBINED, runner)


def _describe(comparison: Comparison, kinds: tuple[str, ...]) -> DetectorSpec:
    """Return the specification of a detector, or of the maximum of several."""
    values = {
        "validation_auroc": comparison.separate(kinds),
        "validation_pixel_auroc": comparison.separate_pixels(kinds),
    }
    is_single = len(kinds) == 1
    name = kinds[0] if is_single else COMBINED
    return DetectorSpec.model_validate(
        {
            "kind": name,
            "file": detector_file(name),
            "members": () if is_single else kinds,
            "quality": {
                key: Metric(value=value, unit="AUROC", split="validation", count=comparison.count)
                for key, value in values.items()
                if value is not None
            },
        }
    )
