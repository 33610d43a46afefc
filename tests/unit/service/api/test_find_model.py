"""The model of a request: the error for a part that it lacks lists the models that have it."""

import json
from pathlib import Path

import pytest

from service.api.handler import find_model
from service.api.operations import OPERATIONS
from service.errors import UnsupportedOperationError
from service.inference.registry.registry import Registry
from tests.support.fakes import FakeRuntime, write_bundle

_OPERATIONS = {operation.name: operation for operation in OPERATIONS}


def find(registry: Registry, operation: str, **parameters: object) -> str:
    """Return the reference of the model for a request."""
    declared = _OPERATIONS[operation]
    return find_model(registry, declared, declared.parameters(**parameters))[0].reference


def load(store: Path) -> Registry:
    """Load a store."""
    registry = Registry(store, lambda _: FakeRuntime(), 2)
    registry.load()
    return registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Two versions of a whole bundle, and a bundle without optional parts."""
    for _ in range(2):
        write_bundle(tmp_path, "full")
    write_bundle(tmp_path, "bare", without=frozenset({"denoiser", "classes", "vae", "gan"}))
    return load(tmp_path)


def test_missing_network(registry: Registry) -> None:
    """A model without the network is an error that lists the models that have it."""
    assert find(registry, "denoise", model="full") == "full@2"
    with pytest.raises(UnsupportedOperationError) as error:
        find(registry, "denoise", model="bare")
    assert str(error.value) == "bare@1 has no denoiser. Loaded models that have it: full@2, full@1."


def test_missing_space(registry: Registry) -> None:
    """A model without a VAE is an error for the operations that would use it."""
    assert find(registry, "encode", model="bare") == "bare@1"
    with pytest.raises(UnsupportedOperationError, match="bare@1 has no vae_encoder"):
        find(registry, "encode", model="bare", space="vae")


def test_missing_source(registry: Registry) -> None:
    """Without a name the default source is used; an unknown source is an error."""
    for source in (None, "kde", "prior"):
        assert find(registry, "sample", model="full", source=source) == "full@2"
    with pytest.raises(UnsupportedOperationError, match="have it: full@2, full@1"):
        find(registry, "sample", model="bare", source="prior")
    with pytest.raises(UnsupportedOperationError, match=r"sample source 'other'.* have it: none"):
        find(registry, "sample", model="full", source="other")


def test_no_default_source(tmp_path: Path) -> None:
    """Without `default_source` the first source is the default; without sources it is an error."""
    for name, samplers in (("first", ["prior", "kde"]), ("none", [])):
        folder = write_bundle(tmp_path, name).folder
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["default_source"] = None
        manifest["samplers"] = {sampler: manifest["samplers"][sampler] for sampler in samplers}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    registry = load(tmp_path)

    sample = _OPERATIONS["sample"]
    model, networks = find_model(registry, sample, sample.parameters(model="first"))
    assert networks == ("vae_decoder",)
    assert sample.is_available(model.manifest)
    with pytest.raises(
        UnsupportedOperationError, match=r"^none@1 has no sample source\. .* first@1"
    ):
        find(registry, "sample", model="none")
