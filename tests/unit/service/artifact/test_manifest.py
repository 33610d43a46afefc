"""The manifest: what is valid is read back, anything else is refused with a reason."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import Bundle
from service.artifact.manifest import MAX_MANIFEST_BYTES, parse_manifest
from service.errors import ArtifactError
from service.inference.model import load_model
from tests.support.fakes import FakeRuntime, write_bundle

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
    """The members of a valid manifest."""
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


def test_a_manifest_is_read_back_as_written(bundle: Bundle) -> None:
    """What was written is what is read."""
    text = bundle.manifest.model_dump_json(indent=2).encode()

    assert parse_manifest(text) == bundle.manifest


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_poisoned_manifest_is_refused_or_loads(
    bundle: Bundle, members: Members, data: st.DataObject
) -> None:
    """With any value anywhere a manifest is refused as an artifact, or the bundle still loads."""
    poisoned = json.loads(json.dumps(members))
    container, key = data.draw(st.sampled_from(list(list_places(poisoned))))
    container[key] = data.draw(VALUES)

    try:
        manifest = parse_manifest(dump(poisoned))
        model = load_model(Bundle("full", 1, bundle.folder, manifest, ""), FakeRuntime())
    except ArtifactError:
        return

    assert model.reference == "full@1"


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused(content: bytes) -> None:
    """Bytes that are no manifest are refused, with a reason, and nothing else happens."""
    with pytest.raises(ArtifactError, match="the manifest"):
        parse_manifest(content)


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.5, [1]])
def test_an_unknown_schema_version_is_named(members: Members, version: object) -> None:
    """A manifest of another schema is refused by its version's name."""
    members["schema_version"] = version

    with pytest.raises(ArtifactError, match="schema_version"):
        parse_manifest(dump(members))


@pytest.mark.parametrize("place", ["", "image", "provenance", "networks.encoder", "files"])
def test_an_unknown_member_is_refused(members: Members, place: str) -> None:
    """A member that the schema does not know is refused at every depth."""
    inner = members
    for part in filter(None, place.split(".")):
        inner = inner[part]
    inner["Unknown Member"] = 1

    with pytest.raises(ArtifactError, match="Unknown Member"):
        parse_manifest(dump(members))


@pytest.mark.parametrize("member", ['"schema_version": 1', '"classes": ["one"]'])
def test_a_member_given_twice_is_refused(members: Members, member: str) -> None:
    """Where a member stands twice, neither is chosen."""
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
def test_a_file_name_is_plain(members: Members, file: str) -> None:
    """No file name reaches out of the bundle's folder, or hides."""
    members["files"][file] = members["files"].pop("encoder.onnx")
    members["networks"]["encoder"]["formats"]["onnx"]["file"] = file

    with pytest.raises(ArtifactError, match=r"pattern|at most"):
        parse_manifest(dump(members))


def test_a_manifest_is_small() -> None:
    """A manifest over the limit is refused before it is read."""
    with pytest.raises(ArtifactError, match="larger"):
        parse_manifest(b" " * (MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["image"].update(background=[0.0, 0.0]), "one value a channel"),
        (lambda m: m["image"].update(channels=2), "channels"),
        (lambda m: m["spaces"].pop("autoencoder"), "'autoencoder' is missing"),
        (lambda m: m["networks"].pop("decoder"), "lacks its encoder or decoder"),
        (lambda m: m["spaces"].pop("vae"), "there are networks of the space vae"),
        (lambda m: m["spaces"]["autoencoder"].update(latent_size=5), "disagree"),
        (lambda m: m["networks"]["vae_encoder"]["outputs"].pop(), "vae: latent_size and its"),
        (lambda m: m["files"].pop("errors.safetensors"), "errors.safetensors is not among"),
        (lambda m: m["files"].pop("encoder.onnx"), "encoder.onnx is not among"),
        (lambda m: m["files"].pop("kde.safetensors"), "kde.safetensors is not among"),
        (lambda m: m["networks"].pop("generator"), "gan needs the generator"),
        (
            lambda m: m["samplers"].pop("gan") and m["networks"].pop("generator"),
            "gan-filtered need",
        ),
        (lambda m: m["networks"]["generator"]["input"].update(shape=[]), "rows of numbers"),
        (lambda m: m["image"].update(height=9), "does not take"),
        (lambda m: m["classes"].pop(), "class labels disagree"),
        (lambda m: m.update(classes=None), "class labels disagree"),
        (lambda m: m["samplers"]["prior"].update(space="other"), "space"),
        (lambda m: m.update(default_source="other"), "'other' is not a sampler"),
        (lambda m: m["metrics"]["reconstruction_mse"].update(count=0), "count"),
    ],
)
def test_parts_must_fit_together(members: Members, change: Any, reason: str) -> None:  # noqa: ANN401 - a lambda
    """A manifest whose parts contradict each other is refused, with the reason."""
    change(members)

    with pytest.raises(ArtifactError, match=reason):
        parse_manifest(dump(members))


def test_nan_is_no_number(members: Members) -> None:
    """NaN and infinity, which JSON does not have, are refused."""
    members["metrics"]["reconstruction_mse"]["value"] = float("nan")

    with pytest.raises(ArtifactError, match="JSON"):
        parse_manifest(dump(members))


def test_a_bundle_needs_no_more_than_an_autoencoder(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    """A bundle may lack everything but the autoencoder."""
    absent = frozenset({"vae", "classes", "denoiser", "gan"})

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
def test_a_sampler_knows_what_runs_for_it(
    members: Members, source: str, networks: tuple[str, ...]
) -> None:
    """A request's time is foretold from these."""
    assert parse_manifest(dump(members)).samplers[source].networks == networks


def judge(value: float) -> Members:
    """Return the quality of a source at a distance from the validation images."""
    metric = {"value": value, "unit": "squared distance", "split": "validation", "count": 9}
    return {"validation_frechet": metric}


def test_who_asks_for_a_class_gets_a_source_that_knows_classes(members: Members) -> None:
    """Else it is the default; of several that know classes, the judge's favourite."""
    known = members["samplers"]["kde"]
    members["default_source"] = "prior"
    manifest = parse_manifest(dump(members))
    assert manifest.find_default_source(class_conditional=False) == "prior"
    assert manifest.find_default_source(class_conditional=True) == "kde"

    members["samplers"]["kde"] = known | {"quality": judge(9)}
    members["samplers"]["better"] = known | {"quality": judge(7)}
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "better"

    members["default_source"] = "kde"
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "kde"


def test_a_bundle_whose_sources_know_no_classes_keeps_its_default(members: Members) -> None:
    """The answer then says that this source has none."""
    members["samplers"] = {"prior": members["samplers"]["prior"]}
    members["default_source"] = "prior"
    assert parse_manifest(dump(members)).find_default_source(class_conditional=True) == "prior"
