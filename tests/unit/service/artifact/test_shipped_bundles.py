"""The stored format of arrays has not changed: shipped files are read and re-saved identically."""

from pathlib import Path

import numpy as np
import pytest

from service.artifact import Bundle, list_bundles, open_bundle
from service.artifact.detectors import STORED_DETECTORS, Calibration
from service.artifact.maps import LatentMap
from service.artifact.samplers import STORED_SAMPLERS
from service.artifact.tensor_files import (
    read_reference_errors,
    read_tensors,
    write_reference_errors,
)

_CODES = ("codes", "labels")
STORE = Path(__file__).parents[4] / "models_store"
BUNDLES = [open_bundle(STORE, name, versions[0]) for name, versions in list_bundles(STORE).items()]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_shipped_samplers_are_saved_identically(bundle: Bundle) -> None:
    """Every fitted sampler of a shipped bundle has the same bytes after reading and saving."""
    stored = [spec for spec in bundle.manifest.samplers.values() if spec.file]

    assert set(STORED_SAMPLERS) == {spec.kind for spec in stored}
    for spec in stored:
        content = bundle.read(str(spec.file))
        tensors = {} if spec.codes is None else read_tensors(bundle.read(spec.codes))
        shared = {name: tensors[name] for name in _CODES if name in tensors}
        sampler = STORED_SAMPLERS[spec.kind].from_bytes(content, shared)
        assert sampler.to_bytes(omit=tuple(shared)) == content, spec.file


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_shipped_detectors_are_saved_identically(bundle: Bundle) -> None:
    """Every detector of a shipped bundle has the same bytes after reading and saving."""
    specs = bundle.manifest.detectors.values()

    assert {spec.kind for spec in specs} >= STORED_DETECTORS.keys()
    for spec in specs:
        content = bundle.read(spec.file)
        kind = STORED_DETECTORS.get(spec.kind, Calibration)
        assert kind.from_bytes(content).to_bytes() == content, spec.file


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_shipped_maps_are_saved_identically(bundle: Bundle) -> None:
    """Every latent map of a shipped bundle has the same bytes after reading and saving."""
    assert bundle.manifest.maps
    for file in bundle.manifest.maps.values():
        content = bundle.read(file)
        assert LatentMap.from_bytes(content).to_bytes() == content, file


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_shipped_reference_errors_are_saved_identically(bundle: Bundle) -> None:
    """Reference errors of a shipped bundle have the same bytes, written in any order."""
    for space in bundle.manifest.spaces.values():
        content = bundle.read(space.reference)
        errors = np.random.default_rng(0).permutation(read_reference_errors(content))
        assert write_reference_errors(errors) == content
