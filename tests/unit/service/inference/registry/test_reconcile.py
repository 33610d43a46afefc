"""Reconciliation: a broken or malicious bundle is rejected and affects no other bundle."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.artifact import list_bundles
from service.errors import InferenceError, MissingExtraError
from service.inference.registry.reconcile import ModelStore, reconcile
from service.inference.registry.snapshot import Snapshot, VersionState
from service.runtimes import Floats, Runtime, open_runtime
from tests.support.fakes import FakeRuntime, write_bundle

ROOT = Path(__file__).parents[5]
opened: list[str] = []
"""Every file that Python has opened since the audit hook was added."""


@cache
def _record_opened_files() -> None:
    def record(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            opened.append(str(Path(arguments[0]).absolute()))

    sys.addaudithook(record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a shipped bundle in a separate store."""
    store = ROOT / "models_store"
    shipped = store / "mnist" / str(list_bundles(store)["mnist"][0])
    return shutil.copytree(shipped, tmp_path / "store" / "mnist" / "1")


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Apply `edit` to a bundle's manifest."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def rename_graph(folder: Path, name: str) -> None:
    """Rename the encoder's graph in the manifest."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["networks"]["encoder"]["formats"]["onnx"]["file"] = name
        manifest["files"][name] = manifest["files"].pop("encoder.onnx")

    edit_manifest(folder, edit)


def replace_graph(folder: Path, make: Callable[[Path, Path], object]) -> None:
    """Move the encoder's graph out of the store; `make(old path, new path)` fills its place."""
    target = folder.parents[2] / "secret.onnx"
    (folder / "encoder.onnx").rename(target)
    make(folder / "encoder.onnx", target)


def duplicate_key(folder: Path) -> None:
    """Add a duplicate key to the manifest."""
    file = folder / "manifest.json"
    file.write_text('{"schema_version": 1, ' + file.read_text().lstrip()[1:])


def swap_checksums(manifest: dict[str, Any]) -> None:
    """Replace the encoder's checksum by the decoder's."""
    manifest["files"]["encoder.onnx"] = manifest["files"]["decoder.onnx"]


def rename_tensor(manifest: dict[str, Any]) -> None:
    """Rename the encoder's input."""
    manifest["networks"]["encoder"]["input"]["name"] = "renamed"


ATTACKS: dict[str, Callable[[Path], object]] = {
    "parent folder": lambda folder: rename_graph(folder, "../secret.onnx"),
    "absolute path": lambda folder: rename_graph(folder, "/etc/passwd"),
    "symbolic link": lambda folder: replace_graph(folder, lambda p, c: p.symlink_to(c)),
    "hard link": lambda folder: replace_graph(folder, lambda p, c: p.hardlink_to(c)),
    "named pipe": lambda folder: replace_graph(folder, lambda p, _: os.mkfifo(p)),
    "folder": lambda folder: replace_graph(folder, lambda p, _: p.mkdir()),
    "duplicate key": duplicate_key,
    "NaN": lambda folder: edit_manifest(
        folder,
        lambda m: m["metrics"].update(
            x={**next(iter(m["metrics"].values())), "value": float("nan")}
        ),
    ),
    "manifest of 10 MB": lambda folder: edit_manifest(
        folder, lambda m: m["provenance"].update(command=" " * 10**7)
    ),
    "wrong checksum": lambda folder: edit_manifest(
        folder, lambda m: m["files"]["encoder.onnx"].update(sha256="0" * 64)
    ),
    "checksum of another file": lambda folder: edit_manifest(folder, swap_checksums),
    "huge latent size": lambda folder: edit_manifest(
        folder, lambda m: m["spaces"]["autoencoder"].update(latent_size=10**9)
    ),
    "renamed tensor": lambda folder: edit_manifest(folder, rename_tensor),
    "unknown schema version": lambda folder: edit_manifest(
        folder, lambda m: m.update(schema_version=3)
    ),
}


def reconcile_folder(
    store: Path, runtime_for: Callable[[str], Runtime], before: Snapshot | None = None
) -> Snapshot:
    """Return the snapshot of a store from which one version of each name is loaded."""
    return reconcile(ModelStore(store, runtime_for, versions=1), before or Snapshot())


def reconcile_shipped(folder: Path) -> VersionState:
    """Return the state of the only bundle of a store, loaded on ONNX Runtime."""
    (state,) = reconcile_folder(folder.parents[1], lambda _: open_runtime("onnx", 1)).states
    return state


@pytest.mark.parametrize("attack", ATTACKS)
def test_malicious_bundle_is_rejected(folder: Path, attack: str) -> None:
    """Each is rejected by name within a CPU second, and no file outside the bundle is opened."""
    open_runtime("onnx", 1)
    _record_opened_files()
    ATTACKS[attack](folder)
    opened.clear()
    start = time.process_time()

    state = reconcile_shipped(folder)

    assert time.process_time() - start < 1
    assert [file for file in opened if not file.startswith(str(folder))] == []
    assert not state.is_ready
    assert state.reason.startswith("mnist@1: ")
    assert str(folder.parents[1]) not in state.reason


def test_unmodified_bundle_is_loaded(folder: Path) -> None:
    """The bundle of the attacks loads if nothing in it is changed."""
    state = reconcile_shipped(folder)

    assert state.is_ready
    assert state.reason == ""


def test_rejected_version_is_checked_again_after_a_change(tmp_path: Path) -> None:
    """A rejected version keeps its state until its files change."""
    bundle = write_bundle(tmp_path, "full")
    content = (bundle.folder / "encoder.onnx").read_bytes()
    (bundle.folder / "encoder.onnx").write_bytes(b"half")

    rejected = reconcile_folder(tmp_path, lambda _: FakeRuntime())
    unchanged = reconcile_folder(tmp_path, lambda _: FakeRuntime(), rejected)
    (bundle.folder / "encoder.onnx").write_bytes(content)
    loaded = reconcile_folder(tmp_path, lambda _: FakeRuntime(), unchanged)
    same = reconcile_folder(tmp_path, lambda _: FakeRuntime(), loaded)

    assert "encoder.onnx" in rejected.states[0].reason
    assert unchanged.states[0] is rejected.states[0]
    assert (loaded.states[0].is_ready, loaded.states[0].reason) == (True, "")
    assert same.states[0] is loaded.states[0]


class _FailingRuntime(FakeRuntime):
    """A backend whose networks load, but fail or return wrong outputs when they run."""

    def __init__(self, outputs: list[Floats] | None) -> None:
        super().__init__()
        self._outputs = outputs

    def load(self, graph: bytes, spec: object) -> Any:  # noqa: ANN401, ARG002 - a network
        return self

    def run(self, _: Floats) -> list[Floats]:
        """Raise, or return the same outputs for every input."""
        if self._outputs is None:
            raise InferenceError("the network could not be run")
        return self._outputs


def _raise(error: Exception) -> Runtime:
    raise error


@pytest.mark.parametrize(
    ("runtime_for", "reason"),
    [
        (lambda _: _FailingRuntime(None), "could not be run"),
        (lambda _: _FailingRuntime([]), "full@1: "),
        (lambda _: _raise(MissingExtraError("install latentd[torch]")), "install latentd"),
        (lambda _: _raise(MemoryError()), "it failed to load (MemoryError)"),
        (lambda _: _raise(RuntimeError("/secret/path")), "it failed to load (RuntimeError)"),
    ],
    ids=["run fails", "wrong outputs", "no backend", "out of memory", "unexpected error"],
)
def test_bundle_that_fails_to_load_affects_no_other(
    tmp_path: Path, runtime_for: Callable[[str], Runtime], reason: str
) -> None:
    """Any error while one bundle is loaded or warmed up rejects that bundle alone."""
    write_bundle(tmp_path, "full")
    write_bundle(tmp_path, "other")

    snapshot = reconcile_folder(
        tmp_path, lambda name: FakeRuntime() if name == "other" else runtime_for(name)
    )

    assert list(snapshot.models) == ["other"]
    rejected = snapshot.states[0]
    assert (rejected.name, rejected.is_rejected) == ("full", True)
    assert rejected.reason.startswith("full@1: ")
    assert reason in rejected.reason
    assert "/secret" not in rejected.reason


@pytest.fixture
def make_unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return a function that makes a folder unreadable, even for the superuser."""
    list_folder = Path.iterdir

    def make(folder: Path) -> None:
        def fail(path: Path) -> Any:  # noqa: ANN401 - an iterator of paths
            if path == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return list_folder(path)

        monkeypatch.setattr(Path, "iterdir", fail)

    return make


def test_unreadable_folder_affects_no_other(
    tmp_path: Path, make_unreadable: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose folder cannot be read keeps its models; other names are still updated."""
    for name in ("full", "other"):
        write_bundle(tmp_path, name)
    loaded = reconcile_folder(tmp_path, lambda _: FakeRuntime())
    write_bundle(tmp_path, "other")
    write_bundle(tmp_path, "unreadable")
    make_unreadable(tmp_path / "full")

    snapshot = reconcile_folder(tmp_path, lambda _: FakeRuntime(), loaded)

    assert snapshot.store_error == ""
    assert list(snapshot.models) == ["full", "other", "unreadable"]
    assert list(snapshot.models["other"]) == [2]
    assert snapshot.models["full"][1] is loaded.models["full"][1]
    reason = "full: the folder cannot be read: Permission denied"
    assert [state.reason for state in snapshot.states] == [reason, "", ""]

    monkeypatch.undo()
    readable = reconcile_folder(tmp_path, lambda _: FakeRuntime(), snapshot)
    assert readable.models["full"][1] is loaded.models["full"][1]
    assert [state.reason for state in readable.states] == ["", "", ""]


def test_unreadable_folder_at_the_start_is_version_zero(
    tmp_path: Path, make_unreadable: Callable[[Path], None]
) -> None:
    """A name that has never been loaded and cannot be read is rejected as version 0."""
    for name in ("full", "other"):
        write_bundle(tmp_path, name)
    make_unreadable(tmp_path / "full")

    snapshot = reconcile_folder(tmp_path, lambda _: FakeRuntime())

    assert list(snapshot.models) == ["other"]
    assert (snapshot.states[0].key, snapshot.states[0].is_rejected) == (("full", 0), True)


@pytest.mark.parametrize(("file", "is_used"), [("encoder.onnx", True), ("encoder.pt", False)])
def test_loaded_version_that_loses_a_file_stays_loaded(
    tmp_path: Path, file: str, is_used: bool
) -> None:
    """The state shows the reason if the backend uses the file, until the file is restored."""
    bundle = write_bundle(tmp_path, "full")
    loaded = reconcile_folder(tmp_path, lambda _: FakeRuntime())
    content = (bundle.folder / file).read_bytes()
    (bundle.folder / file).unlink()

    damaged = reconcile_folder(tmp_path, lambda _: FakeRuntime(), loaded)
    (bundle.folder / file).write_bytes(content)
    restored = reconcile_folder(tmp_path, lambda _: FakeRuntime(), damaged)

    assert damaged.states[0].model is restored.states[0].model is loaded.states[0].model
    assert damaged.states[0].reason.startswith(f"full@1: {file} cannot be read") == is_used
    assert restored.states[0].reason == ""
