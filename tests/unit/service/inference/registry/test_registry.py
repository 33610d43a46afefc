"""The registry: the start of the service, and lookup by name and version."""

import logging
import shutil
from pathlib import Path

import pytest

from service.errors import ArtifactError, ModelNotFoundError, UnsupportedOperationError
from service.inference.registry.registry import Registry, read_extra
from tests.support.fakes import REPORT, FakeRuntime, write_bundle


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only store with three versions of one bundle, and one bundle with few networks."""
    folder = tmp_path_factory.mktemp("published")
    for _ in range(3):
        write_bundle(folder, "full")
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan", "extras"}))
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published store."""
    return shutil.copytree(published, tmp_path / "store")


def make_registry(
    store: Path, *, versions: int = 2, default: str | None = None, skip_broken_models: bool = False
) -> Registry:
    """Return an empty registry on the fake backend."""
    return Registry(
        store,
        lambda _: FakeRuntime(),
        versions,
        default=default,
        skip_broken_models=skip_broken_models,
    )


@pytest.fixture
def registry(store: Path) -> Registry:
    """A registry that has loaded the two highest versions of each bundle."""
    registry = make_registry(store)
    registry.load()
    return registry


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (None, "bare@1"),
        ("", "bare@1"),
        ("full", "full@3"),
        ("full@3", "full@3"),
        ("full@2", "full@2"),
        ("bare@1", "bare@1"),
    ],
)
def test_find_by_name_or_version(registry: Registry, reference: str | None, expected: str) -> None:
    """A name finds its highest version; without a reference the first name is the default."""
    assert registry.find(reference).reference == expected


@pytest.mark.parametrize(
    "reference",
    ["full@1", "full@4", "full@", "full@03", "full@+3", "full@3 ", "FULL", "other", "@3"],
)
def test_find_rejects_unloaded_references(registry: Registry, reference: str) -> None:
    """An unknown name, version or spelling is an error that lists the loaded models."""
    with pytest.raises(ModelNotFoundError) as error:
        registry.find(reference)

    assert str(error.value) == (
        f"Model {reference!r} is not loaded. Loaded models: bare@1, full@3, full@2."
    )


@pytest.mark.parametrize("versions", [1, 2, 3, 9])
def test_versions_limits_the_loaded_versions(store: Path, versions: int) -> None:
    """The registry loads the given number of each name's highest versions."""
    registry = make_registry(store, versions=versions)

    registry.load()

    assert list(registry.models["full"]) == [3, 2, 1][:versions]


def test_default_model(store: Path) -> None:
    """Without a reference the configured default model is found."""
    registry = make_registry(store, default="full")

    registry.load()

    assert registry.find(None).reference == "full@3"


def test_unknown_default_model_stops_the_start(store: Path) -> None:
    """A default model that is not in the store is an error that lists the names in the store."""
    with pytest.raises(ArtifactError, match=r"'other' is not in .*, which has bare, full"):
        make_registry(store, default="other").load()


def test_empty_store_stops_the_start(tmp_path: Path) -> None:
    """A store without bundles is an error at the start."""
    with pytest.raises(ArtifactError, match="contains no bundle"):
        make_registry(tmp_path).load()


def test_every_model_is_missing_before_load(store: Path) -> None:
    """An empty registry reports that its models are not loaded."""
    assert make_registry(store).missing == ["every model: not loaded yet"]


def test_no_model_is_missing_after_load(registry: Registry) -> None:
    """A complete registry reports no missing models."""
    assert registry.missing == []


def test_broken_bundle_stops_the_start(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One broken bundle stops the start; the error names it and nothing else is logged."""
    (store / "full" / "3" / "encoder.onnx").write_bytes(b"changed")
    registry = make_registry(store)

    with pytest.raises(ArtifactError, match=r"full@3: encoder\.onnx"):
        registry.load()

    assert registry.models == {}
    assert caplog.records == []


def test_lower_versions_are_not_read(store: Path) -> None:
    """A broken version below the loaded versions has no effect."""
    (store / "full" / "1" / "manifest.json").write_text("{}")

    registry = make_registry(store)
    registry.load()

    assert registry.missing == []


def test_skip_broken_models(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With `skip_broken_models` a broken version is skipped, logged and reported as missing."""
    (store / "full" / "3" / "encoder.onnx").write_bytes(b"changed")
    registry = make_registry(store, skip_broken_models=True)

    with caplog.at_level(logging.ERROR):
        registry.load()

    assert registry.find("full").reference == "full@2"
    assert [text.partition(":")[0] for text in registry.missing] == ["full@3"]
    assert caplog.messages == [f"rejected {registry.missing[0]}"]


def test_skip_broken_models_needs_one_valid_model(tmp_path: Path) -> None:
    """With `skip_broken_models` the start still fails if every bundle is broken."""
    bundle = write_bundle(tmp_path, "full")
    (bundle.folder / "encoder.onnx").write_bytes(b"changed")

    with pytest.raises(ArtifactError, match=r"full@1: encoder\.onnx"):
        make_registry(tmp_path, skip_broken_models=True).load()


def test_superseded_version_is_not_missing(store: Path) -> None:
    """A version that was skipped at the start is not missing once it is too old to be loaded."""
    (store / "full" / "3" / "encoder.onnx").write_bytes(b"changed")
    registry = make_registry(store, skip_broken_models=True)
    registry.load()
    for _ in range(2):
        write_bundle(store, "full")

    registry.refresh()

    assert list(registry.models["full"]) == [5, 4]
    assert registry.missing == []


def test_find_map_and_report(registry: Registry) -> None:
    """A map or report that a model lacks is an error that lists the models that have it."""
    assert registry.find_map("full", "vae")[1] == "map.safetensors"
    assert registry.find_report("full")[1] == "report.html"
    with pytest.raises(UnsupportedOperationError, match="have it: full@3, full@2"):
        registry.find_map("bare", "autoencoder")
    with pytest.raises(UnsupportedOperationError, match="have it: none"):
        registry.find_map("full", "nowhere")
    with pytest.raises(UnsupportedOperationError, match="have it: full@3, full@2"):
        registry.find_report("bare")


def test_extra_of_a_removed_version_is_unavailable(store: Path, registry: Registry) -> None:
    """A report whose file was removed after loading is an error that says so, without a path."""
    model, file = registry.find_report("full")
    assert read_extra(model, file) == REPORT
    shutil.rmtree(store / "full" / "3")

    with pytest.raises(UnsupportedOperationError) as error:
        read_extra(model, file)

    assert str(error.value) == (
        "full@3 is loaded, but the models store no longer has its report.html: "
        "report.html cannot be read: No such file or directory"
    )
