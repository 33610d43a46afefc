"""The registry: which model answers to which name."""

import logging
import shutil
from pathlib import Path

import pytest

from service.errors import ArtifactError, ModelNotFoundError, UnsupportedOperationError
from service.inference.registry import Registry
from tests.support.fakes import FakeRuntime, write_bundle


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one bundle, and one that lacks most; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    for _ in range(3):
        write_bundle(folder, "full")
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan"}))
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published bundles."""
    return shutil.copytree(published, tmp_path / "store")


def make_registry(
    store: Path, *, versions: int = 2, default: str | None = None, skip_broken_models: bool = False
) -> Registry:
    """Return a registry on the fake backend that is not loaded."""
    return Registry(
        store,
        lambda _: FakeRuntime(),
        versions,
        default=default,
        skip_broken_models=skip_broken_models,
    )


@pytest.fixture
def registry(store: Path) -> Registry:
    """The store's two highest versions, loaded."""
    loaded = make_registry(store)
    loaded.load()
    return loaded


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        (None, "bare@1"),
        ("", "bare@1"),
        ("full", "full@3"),
        ("full@3", "full@3"),
        ("full@2", "full@2"),
        ("bare@1", "bare@1"),
    ],
)
def test_names_and_versions_are_found(
    registry: Registry, reference: str | None, found: str
) -> None:
    """A name is its highest version; no name is the default, or the first."""
    assert registry.find(reference).reference == found


@pytest.mark.parametrize(
    "reference",
    ["full@1", "full@4", "full@", "full@03", "full@+3", "full@3 ", "FULL", "other", "@3"],
)
def test_what_is_not_served_is_not_found(registry: Registry, reference: str) -> None:
    """Other names and versions, and those too old to be kept, are not found; others are listed."""
    with pytest.raises(ModelNotFoundError, match="there are bare@1, full@3, full@2"):
        registry.find(reference)


@pytest.mark.parametrize("versions", [1, 2, 3, 9])
def test_so_many_versions_are_kept(store: Path, versions: int) -> None:
    """The highest versions of each name are served, as many as asked for."""
    registry = make_registry(store, versions=versions)

    registry.load()

    assert list(registry.models["full"]) == [3, 2, 1][:versions]


def test_a_default_is_named(store: Path) -> None:
    """The default model answers when none is named."""
    registry = make_registry(store, default="full")

    registry.load()

    assert registry.find(None).reference == "full@3"


def test_a_default_that_is_not_there(store: Path) -> None:
    """A default that the store does not hold stops the start, and says what there is."""
    with pytest.raises(ArtifactError, match=r"'other' is not in .*; there are bare, full"):
        make_registry(store, default="other").load()


def test_an_empty_store(tmp_path: Path) -> None:
    """A store without bundles stops the start."""
    with pytest.raises(ArtifactError, match="holds no bundle"):
        make_registry(tmp_path).load()


def test_before_loading_everything_is_missing(store: Path) -> None:
    """A registry that is not loaded says so."""
    assert make_registry(store).missing == ["every model: not loaded yet"]


def test_after_loading_nothing_is_missing(registry: Registry) -> None:
    """A registry that is loaded misses nothing."""
    assert registry.missing == []


def test_a_broken_bundle_stops_the_start(store: Path) -> None:
    """One bundle that must not be served is enough to serve none, and it is named."""
    (store / "full" / "3" / "encoder.onnx").write_bytes(b"changed")

    with pytest.raises(ArtifactError, match=r"full@3: encoder\.onnx"):
        make_registry(store).load()


def test_only_the_versions_served_are_read(store: Path) -> None:
    """A broken version that is too old to be served does not matter."""
    (store / "full" / "1" / "manifest.json").write_text("{}")

    registry = make_registry(store)
    registry.load()

    assert registry.missing == []


def test_the_good_are_served_beside_the_broken(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With skip_broken_models a broken version is left out, logged and listed as missing."""
    (store / "full" / "3" / "encoder.onnx").write_bytes(b"changed")
    registry = make_registry(store, skip_broken_models=True)

    with caplog.at_level(logging.ERROR):
        registry.load()

    assert registry.find("full").reference == "full@2"
    assert [text.partition(":")[0] for text in registry.missing] == ["full@3"]
    assert "refused full@3" in caplog.text


def test_nothing_good_stops_the_start(tmp_path: Path) -> None:
    """With skip_broken_models, too, there must be something to serve."""
    bundle = write_bundle(tmp_path, "full")
    (bundle.folder / "encoder.onnx").write_bytes(b"changed")

    with pytest.raises(ArtifactError, match=r"full@1: encoder\.onnx"):
        make_registry(tmp_path, skip_broken_models=True).load()


def test_a_network_is_found_or_said_where(registry: Registry) -> None:
    """A model without the network is told from one with it, which is named."""
    assert registry.find_network("full", "denoiser").reference == "full@3"
    with pytest.raises(
        UnsupportedOperationError, match="bare@1 has no denoiser; these have it: full@3"
    ):
        registry.find_network("bare", "denoiser")


def test_a_source_is_found_or_said_where(registry: Registry) -> None:
    """No source is the model's default; one that it lacks is said to be elsewhere, or nowhere."""
    assert registry.find_source("full", None)[1] == "kde"
    assert registry.find_source("full", "prior")[1] == "prior"
    with pytest.raises(UnsupportedOperationError, match="these have it: full@3, full@2"):
        registry.find_source("bare", "prior")
    with pytest.raises(UnsupportedOperationError, match="no model served has it"):
        registry.find_source("full", "other")
