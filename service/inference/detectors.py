"""Load a bundle's detectors and check them against the rest of the bundle."""

from service.artifact import Bundle, DetectorSpec
from service.artifact.detectors import (
    COMBINED,
    STORED_DETECTORS,
    Calibration,
    CombinedDetector,
    Detector,
)
from service.errors import ArtifactError


def load_detectors(bundle: Bundle) -> dict[str, Detector]:
    """Return the detectors of a bundle's manifest, by name.

    Raises:
        ArtifactError: a file is missing, damaged or for images of another shape.
    """
    specs = bundle.manifest.detectors
    single = {n: _load_single(bundle, spec) for n, spec in specs.items() if spec.kind != COMBINED}
    detectors: dict[str, Detector] = {}
    for name, spec in specs.items():
        if spec.kind == COMBINED:
            calibration = Calibration.from_bytes(bundle.read(spec.file))
            members = [single[member] for member in spec.members]
            detectors[name] = CombinedDetector(calibration, members)
        else:
            detectors[name] = single[name]
    return detectors


def _load_single(bundle: Bundle, spec: DetectorSpec) -> Detector:
    detector = STORED_DETECTORS[spec.kind].from_bytes(bundle.read(spec.file))
    try:
        detector.check_fit(bundle.manifest.image.shape)
    except ArtifactError as error:
        raise ArtifactError(f"{spec.file}: {error}") from error
    return detector
