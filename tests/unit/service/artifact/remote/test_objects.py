"""Access to remote stores: protocols, retries, and publication with the manifest last."""

import importlib
import sys
from pathlib import Path

import fsspec
import pytest

from service.artifact import publish, stage
from service.artifact.remote import objects
from service.artifact.remote.objects import ObjectStore, is_complete
from service.errors import ArtifactError, MissingExtraError
from tests.support.fakes import write_bundle


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without pauses."""
    monkeypatch.setattr(objects, "_RETRY_SECONDS", (0.0, 0.0, 0.0))


def test_versions_count_from_one(url: str) -> None:
    """Each publication takes the next version of its name."""
    assert [write_bundle(url, "full").version for _ in range(2)] == [1, 2]
    assert ObjectStore(url).list_versions().keys() == {("full", 1), ("full", 2)}


def test_the_manifest_is_uploaded_last(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that ends during its upload leaves an incomplete version, and its number is used."""
    upload = ObjectStore.upload

    def end_early(self: ObjectStore, folder: Path, name: str, version: int, file: str) -> None:
        if file == "manifest.json":
            raise KeyboardInterrupt
        upload(self, folder, name, version, file)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "upload", end_early)
        with pytest.raises(KeyboardInterrupt):
            write_bundle(url, "full")
    listed = ObjectStore(url).list_versions()
    assert "decoder.onnx" in listed["full", 1]
    assert not is_complete(listed["full", 1])
    assert write_bundle(url, "full").version == 2


def test_a_claimed_version_is_left_to_its_writer(url: str) -> None:
    """Of two writers that choose the same version, the second takes the next one."""
    store = ObjectStore(url)
    assert store.claim("full", 1)
    assert not store.claim("full", 1)
    assert write_bundle(url, "full").version == 2


def test_other_objects_are_ignored(url: str) -> None:
    """Objects that are not in a version of a valid name are no bundles."""
    files = fsspec.filesystem("memory")
    for path in ("readme.txt", "Upper/1/manifest.json", "full/new/x", "full/0/x", "full/1/a/b"):
        files.pipe_file(f"/bundles/production/{path}", b"")
    assert list(ObjectStore(url).list_versions()) == [("full", 1)]


def test_a_failed_request_is_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three failures in a row do not fail an operation, four do, with the reason."""
    write_bundle(url, "full")
    store, failures = ObjectStore(url), [TimeoutError("no route")] * 3
    find = store._opened[0].find

    def fail_first(*arguments: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return find(*arguments, **options)

    monkeypatch.setattr(store._opened[0], "find", fail_first)
    assert store.list_versions()
    failures += [TimeoutError("no route")] * 4
    with pytest.raises(ArtifactError, match=r"memory://bundles/production cannot be read: .*route"):
        store.list_versions()


def test_an_unknown_protocol_is_named() -> None:
    """The error lists the URL."""
    with pytest.raises(ArtifactError, match="carrier-pigeon://store cannot be opened"):
        ObjectStore("carrier-pigeon://store").check()


@pytest.mark.parametrize("missing", ["fsspec", "s3fs"])
def test_a_missing_library_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library of the protocol the error has the command that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "s3fs"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'latentd\[remote\]'"):
        ObjectStore("s3://bundles").check()


def test_passwords_are_not_shown() -> None:
    """The URL in messages has no user name and password."""
    assert ObjectStore("memory://user:secret@bundles/x").url == "memory://bundles/x"


def test_an_invalid_bundle_is_not_uploaded(url: str) -> None:
    """A staged bundle without a manifest is rejected before the first request."""
    with stage(url, "full") as folder, pytest.raises(ArtifactError, match=r"manifest\.json"):
        publish(folder, url, "full")
    assert ObjectStore(url).list_versions() == {}
    assert not folder.exists()
