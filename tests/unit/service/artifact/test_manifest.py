"""Manifests: valid ones are read back as written, others are rejected with a reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import Bundle
from service.artifact.manifest import MAX_MANIFEST_BYTES, parse_manifest
from service.artifact.samplers import FlowNoise
from service.errors import ArtifactError
from service.inference.model import load_model
from tests.support.fakes import LATENT_SIZE, FakeRuntime, write_bundle

Members = dict[str, Any]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["vae", "autoencoder", "kde", "../secret.onnx", 1.0, 10**9]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


@pytest.fixture
def members(bundle: Bundle) -> Members:
    """Return the members of a valid manifest."""
    parsed: Members = json.loads(bundle.manifest.model_dump_json())
    return parsed


def dump(members: object) -> bytes:
    """Return the JSON text of a manifest."""
    return json.dumps(members).encode()


def list_places(value: object) -> Iterator[tuple[Any, Any]]:
    """Yield each container and key in nested JSON."""
    keys = value.keys() if isinstance(value, dict) else range(len(value or ()))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from list_places(value[key])


def test_manifest_round_trip(bundle: Bundle) -> None:
    """Parsing the JSON of a manifest returns an equal manifest."""
    text = bundle.manifest.model_dump_json(indent=2).encode()

    assert parse_manifest(text) == bundle.manifest


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_manifest_is_rejected_or_loads(
    bundle: Bundle, members: Members, data: st.DataObject
) -> None:
    """A manifest with any value anywhere raises ArtifactError, or the bundle still loads."""
    mutated = json.loads(json.dumps(members))
    container, key = data.draw(st.sampled_from(list(list_places(mutated))))
    container[key] = data.draw(VALUES)

    try:
        manifest = parse_manifest(dump(mutated))
        model = load_model(Bundle("full", 1, bundle.folder, manifest, ""), FakeRuntime())
    except ArtifactError:
        return

    assert model.reference == "full@1"


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_random_bytes_are_rejected(content: bytes) -> None:
    """Random bytes raise an ArtifactError about the manifest, and no other exception."""
    with pytest.raises(ArtifactError, match="the manifest"):
        parse_manifest(content)


@pytest.mark.parametrize("version", [3, 0, "1", None, 1.5, [1]])
def test_unknown_schema_version_is_rejected(members: Members, version: object) -> None:
    """The error for another schema version names the member."""
    members["schema_version"] = version

    with pytest.raises(ArtifactError, match="schema_version"):
        parse_manifest(dump(members))


@pytest.mark.parametrize("place", ["", "image", "provenance", "networks.encoder", "files"])
def test_unknown_member_is_rejected(members: Members, place: str) -> None:
    """Members outside the schema are rejected at every depth."""
    inner = members
    for part in filter(None, place.split(".")):
        inner = inner[part]
    inner["Unknown Member"] = 1

    with pytest.raises(ArtifactError, match="Unknown Member"):
        parse_manifest(dump(members))


@pytest.mark.parametrize("member", ['"schema_version": 1', '"classes": ["one"]'])
def test_duplicate_member_is_rejected(members: Members, member: str) -> None:
    """A duplicate key is an error, not a choice of the last value."""
    text = dump(members).decode().rstrip("}") + "}}, " + member + "}"

    with pytest.raises(ArtifactError, match="JSON"):
        parse_manifest(text.encode())


@pytest.mark.parametrize(
    "file",
    [
        "../secret.onnx",
        "/etc/secret.onnx",
        "folder/file.onnx",
        "a..onnx",
        ".hidden.onnx",
        "UPPER.onnx",
        "line.onnx\n",
        "null.onnx\0",
        "back\\slash.onnx",
        "x" * 64 + ".onnx",
        "",
    ],
)
def test_unsafe_file_name_is_rejected(members: Members, file: str) -> None:
    """File names cannot leave the bundle folder or be hidden files."""
    members["files"][file] = members["files"].pop("encoder.onnx")
    members["networks"]["encoder"]["formats"]["onnx"]["file"] = file

    with pytest.raises(ArtifactError, match=r"pattern|at most"):
        parse_manifest(dump(members))


def test_bundles_without_detectors_are_valid(members: Members) -> None:
    """Bundles from before detectors exist are read as bundles that have none."""
    del members["detectors"], members["default_detector"]

    manifest = parse_manifest(dump(members))

    assert (manifest.detectors, manifest.default_detector) == ({}, None)


def test_a_combined_detector_runs_the_networks_of_its_members(bundle: Bundle) -> None:
    """Each network is listed once, in the order of the members."""
    list_networks = bundle.manifest.list_detector_networks

    assert list_networks("combined") == ("segmenter", "encoder", "decoder")
    assert list_networks("neighbours") == ()


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("detectors.segmentation.kind", "spline", "'reconstruction', 'neighbours'"),
        ("detectors.segmentation.members", ["neighbours"], "members for the kind 'combined' only"),
        ("detectors.combined.members", [], "members for the kind 'combined' only"),
        ("detectors.combined.members", ["none"], r"no single detectors: \['none'\]"),
        ("detectors.combined.members", ["combined"], "no single detectors"),
        ("detectors.segmentation.file", "other.safetensors", "is not in files"),
        ("default_detector", "none", "default_detector 'none' is not a detector"),
        ("networks.segmenter.outputs.0.shape", [1, 4, 3], r"needs an output of shape \(h, w\)"),
    ],
)
def test_invalid_detectors_are_rejected(
    members: Members, place: str, value: object, reason: str
) -> None:
    """Detectors name existing members, networks and files."""
    *path, last = place.split(".")
    inner: Any = members
    for part in path:
        inner = inner[int(part) if isinstance(inner, list) else part]
    inner[last] = value

    with pytest.raises(ArtifactError, match=reason):
        parse_manifest(dump(members))


def test_a_detector_needs_its_network(members: Members) -> None:
    """A detector whose network is missing is named."""
    del members["networks"]["segmenter"]

    with pytest.raises(ArtifactError, match="detector 'segmentation' needs the segmenter"):
        parse_manifest(dump(members))


def test_oversized_manifest_is_rejected() -> None:
    """A manifest over the limit is rejected before it is parsed."""
    with pytest.raises(ArtifactError, match="larger"):
        parse_manifest(b" " * (MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda m: m["image"].update(background=[0.0, 0.0]),
            "one background value per channel, 1, got 2",
        ),
        (lambda m: m["image"].update(channels=2), "channels"),
        (lambda m: m["spaces"].pop("autoencoder"), "'autoencoder' is missing"),
        (lambda m: m["networks"].pop("decoder"), "needs the networks encoder and decoder"),
        (lambda m: m["spaces"].pop("vae"), "networks of space 'vae', which is missing"),
        (lambda m: m["spaces"]["autoencoder"].update(latent_size=5), "latent_size is 5"),
        (
            lambda m: m["networks"]["vae_encoder"]["outputs"].pop(),
            "space 'vae': networks have latents",
        ),
        (lambda m: m["files"].pop("errors.safetensors"), "errors.safetensors is not in files"),
        (lambda m: m["files"].pop("encoder.onnx"), "encoder.onnx is not in files"),
        (lambda m: m["files"].pop("kde.safetensors"), "kde.safetensors is not in files"),
        (lambda m: m["networks"].pop("generator"), "sampler 'gan' needs the generator"),
        (
            lambda m: m["samplers"].pop("gan") and m["networks"].pop("generator"),
            "sampler 'gan-filtered' needs the generator",
        ),
        (
            lambda m: m["networks"]["generator"]["input"].update(shape=[]),
            r"needs an input of shape \(L,\)",
        ),
        (lambda m: m["image"].update(height=9), r"needs an input of shape \(1, 9, 6\)"),
        (lambda m: m["classes"].pop(), r"output \(3,\) for 2 classes"),
        (lambda m: m.update(classes=None), r"output \(3,\) for 0 classes"),
        (lambda m: m["samplers"]["prior"].update(space="other"), "space"),
        (lambda m: m.update(default_source="other"), "'other' is not a sampler"),
        (lambda m: m["metrics"]["reconstruction_mse"].update(count=0), "count"),
    ],
)
def test_inconsistent_parts_are_rejected(members: Members, change: Any, reason: str) -> None:  # noqa: ANN401 - a lambda
    """Contradictions between parts of a manifest are rejected with a reason."""
    change(members)

    with pytest.raises(ArtifactError, match=reason):
        parse_manifest(dump(members))


def test_nan_is_rejected(members: Members) -> None:
    """NaN and infinity are not valid JSON."""
    members["metrics"]["reconstruction_mse"]["value"] = float("nan")

    with pytest.raises(ArtifactError, match="JSON"):
        parse_manifest(dump(members))


def test_only_the_autoencoder_is_required(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    """A bundle without VAE, GAN, denoiser and classes is valid."""
    absent = frozenset({"vae", "classes", "denoiser", "gan", "detectors"})

    bundle = write_bundle(tmp_path, "bare", without=absent)

    assert set(bundle.manifest.networks) == {"encoder", "decoder"}


@pytest.mark.parametrize(
    ("source", "networks"),
    [
        ("kde", ("decoder",)),
        ("prior", ("vae_decoder",)),
        ("gan", ("generator",)),
        ("gan-filtered", ("generator", "encoder", "decoder")),
    ],
)
def test_networks_of_a_sampler(members: Members, source: str, networks: tuple[str, ...]) -> None:
    """The predicted cost of a request depends on these networks."""
    assert parse_manifest(dump(members)).samplers[source].networks == networks


def make_quality(value: float, memorisation: float = 1.0, near_copies: float = 0.0) -> Members:
    """Return the quality of a sampler with this distance from the validation images."""
    values = {
        "validation_frechet": value,
        "validation_memorisation": memorisation,
        "validation_near_copies": near_copies,
        "memorisation_limit": 0.85,
        "near_copies_limit": 2.0,
    }
    return {
        name: {"value": number, "unit": "", "split": "validation", "count": 9}
        for name, number in values.items()
    }


def test_class_requests_get_the_best_class_conditional_source(members: Members) -> None:
    """Requests with a class use the best class-conditional source if the default is not one."""
    conditional = members["samplers"]["kde"]
    members["default_source"] = "prior"
    manifest = parse_manifest(dump(members))
    assert manifest.find_default_source(class_conditional=False) == "prior"
    assert manifest.find_default_source(class_conditional=True) == "kde"

    members["samplers"]["kde"] = conditional | {"quality": make_quality(9)}
    members["samplers"]["better"] = conditional | {"quality": make_quality(7)}
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "better"

    members["default_source"] = "kde"
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "kde"


@pytest.mark.parametrize("copying", [make_quality(1, memorisation=0.8), make_quality(1, 1.0, 2.1)])
def test_class_requests_do_not_get_copies(members: Members, copying: Members) -> None:
    """A source near the training images is no default for a class, however good its samples are."""
    conditional = members["samplers"]["kde"]
    members["default_source"] = "prior"
    members["samplers"]["copier"] = conditional | {"quality": copying}
    members["samplers"]["honest"] = conditional | {"quality": make_quality(7)}

    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "honest"


def make_flow_members(folder: Path) -> Members:
    """Return the members of a manifest with a flow."""
    noise = FlowNoise(np.ones(LATENT_SIZE, np.float32), np.full(3, 1 / 3))
    bundle = write_bundle(folder, "flowing", flow=noise)
    members: Members = json.loads((bundle.folder / "manifest.json").read_bytes())
    return members


def test_a_flow_runs_before_its_decoder(tmp_path: Path) -> None:
    """The predicted cost of a request includes the flow."""
    manifest = parse_manifest(dump(make_flow_members(tmp_path)))

    assert manifest.samplers["flow"].networks == ("flow", "decoder")
    vae_flow = manifest.samplers["flow"].model_copy(update={"space": "vae"})
    assert vae_flow.networks == ("vae_flow", "vae_decoder")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["networks"].pop("flow"), "sampler 'flow' needs the flow, which is missing"),
        (
            lambda m: m["networks"]["flow"]["input"].update(shape=[4]),
            r"shape \(7,\), for 4 latents",
        ),
        (
            lambda m: m["networks"]["flow"]["outputs"][0].update(shape=[5]),
            r"3 classes, and an output of shape \(4,\), has \(\(7,\), \(5,\)\)",
        ),
        (lambda m: m["samplers"]["flow"].update(space="gan"), "'flow' needs a latent space"),
    ],
)
def test_a_flow_that_does_not_fit_is_rejected(tmp_path: Path, change: Any, reason: str) -> None:  # noqa: ANN401 - a lambda
    """A flow takes noise and a class for each latent of its space."""
    members = make_flow_members(tmp_path)
    change(members)

    with pytest.raises(ArtifactError, match=reason):
        parse_manifest(dump(members))


def test_first_source_is_the_default_without_default_source(members: Members) -> None:
    """A bundle with sample sources has a default source; one without sources has none."""
    members["default_source"] = None
    members["samplers"] = {name: members["samplers"][name] for name in ("prior", "kde")}
    manifest = parse_manifest(dump(members))
    assert manifest.find_default_source(class_conditional=False) == "prior"
    assert manifest.find_default_source(class_conditional=True) == "kde"

    members["samplers"] = {}
    assert parse_manifest(dump(members)).find_default_source(class_conditional=False) is None


def test_default_source_without_class_conditional_sources(members: Members) -> None:
    """Without any class-conditional source the default stays, and the request is rejected later."""
    members["samplers"] = {"prior": members["samplers"]["prior"]}
    members["default_source"] = "prior"
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "prior"
