"""The operation table: input, networks and availability of each operation."""

from typing import Any

import pytest

from service.api.operation import Operation
from service.api.operations import OPERATIONS
from service.artifact import Manifest
from service.errors import UnsupportedOperationError
from tests.support.fakes import write_bundle
from tests.support.problem_checks import make_body

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The manifest of a bundle with every optional part."""
    return write_bundle(tmp_path_factory.mktemp("store"), "full").manifest


def test_names_are_unique() -> None:
    """Each operation has its own name and its own path."""
    assert len(BY_NAME) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operation_is_declared_completely(operation: Operation[Any], manifest: Manifest) -> None:
    """Each operation has defaults for all parameters, a valid example and JSON responses."""
    defaults = operation.parameters()
    example = operation.parameters.model_validate(operation.example, strict=True)

    assert operation.summary
    assert operation.description.endswith(".")
    assert operation.offers[0] == "application/json"
    assert operation.require(manifest, defaults) or operation.name == "preprocess"
    assert operation.count is None or operation.count(example) >= 1
    assert make_body(operation.name).keys() == set(operation.accepts.members[:1])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_missing_network_makes_it_unavailable(
    operation: Operation[Any], manifest: Manifest
) -> None:
    """An operation is unavailable for a bundle without any of its networks; the error names it."""
    assert operation.is_available(manifest)
    for network in operation.require(manifest, operation.parameters()):
        others = {name: spec for name, spec in manifest.networks.items() if name != network}
        lacking = manifest.model_copy(update={"networks": others})
        assert not operation.is_available(lacking)
        with pytest.raises(UnsupportedOperationError, match=f"^{network}$"):
            operation.require(lacking, operation.parameters())


@pytest.mark.parametrize(
    ("name", "parameters", "networks"),
    [
        ("preprocess", {}, ()),
        ("encode", {}, ("encoder",)),
        ("encode", {"space": "vae"}, ("vae_encoder",)),
        ("decode", {}, ("decoder",)),
        ("decode", {"space": "vae"}, ("vae_decoder",)),
        ("reconstruct", {"space": "vae"}, ("vae_encoder", "vae_decoder")),
        ("denoise", {}, ("denoiser",)),
        ("classify", {}, ("classifier",)),
        ("sample", {}, ("decoder",)),
        ("sample", {"source": "prior"}, ("vae_decoder",)),
        ("sample", {"source": "gan"}, ("generator",)),
        ("interpolate", {}, ("encoder", "decoder")),
    ],
)
def test_parameters_select_the_networks(
    manifest: Manifest, name: str, parameters: dict[str, str], networks: tuple[str, ...]
) -> None:
    """The latent space and the sample source select the networks."""
    operation = BY_NAME[name]

    assert operation.require(manifest, operation.parameters(**parameters)) == networks


def test_sample_is_available_with_a_source(manifest: Manifest) -> None:
    """`sample` is available if and only if the bundle has a sample source."""
    sample = BY_NAME["sample"]
    first = dict(list(manifest.samplers.items())[:1])

    def change(**parts: object) -> Manifest:
        return manifest.model_copy(update=parts)

    assert sample.is_available(change(samplers=first))
    assert sample.is_available(change(samplers=first, default_source=None))
    assert not sample.is_available(change(samplers={}, default_source=None))
    assert not sample.is_available(manifest, sample.parameters(source="other"))


@pytest.mark.parametrize(
    ("name", "parameters", "count"), [("sample", {"count": 3}, 3), ("interpolate", {"steps": 5}, 5)]
)
def test_generated_images_are_counted(name: str, parameters: dict[str, int], count: int) -> None:
    """Operations that generate images state their number before they run."""
    operation = BY_NAME[name]
    assert operation.count is not None

    assert operation.count(operation.parameters(**parameters)) == count


def test_other_operations_count_their_input() -> None:
    """Operations that return one image per input state no number."""
    counted = {operation.name for operation in OPERATIONS if operation.count is not None}

    assert counted == {"sample", "interpolate"}
