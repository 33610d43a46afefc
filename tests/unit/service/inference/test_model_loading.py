"""The repository: a bundle that must not be served is refused, whatever is wrong with it."""

import json
import logging
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
from service.errors import ArtifactError, InferenceError, MissingExtraError
from service.inference.model_loading import Repository
from service.runtimes import Floats, Runtime, open_runtime
from tests.support.fakes import FakeRuntime, write_bundle

ROOT = Path(__file__).parents[4]
KEY = ("mnist", 1)
opened: list[str] = []
"""Every file that Python opens while a test listens."""


@cache
def _listen() -> None:
    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            opened.append(str(Path(arguments[0]).absolute()))

    sys.addaudithook(note)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a real bundle, in a store of its own."""
    store = ROOT / "models_store"
    shipped = store / "mnist" / str(list_bundles(store)["mnist"][0])
    return shutil.copytree(shipped, tmp_path / "store" / "mnist" / "1")


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a bundle's manifest."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def rename_graph(folder: Path, name: str) -> None:
    """Have the manifest list the encoder's graph under another name."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["networks"]["encoder"]["formats"]["onnx"]["file"] = name
        manifest["files"][name] = manifest["files"].pop("encoder.onnx")

    change(folder, edit)


def replace_graph(folder: Path, make: Callable[[Path, Path], object]) -> None:
    """Put something else where the encoder's graph was; `make` gets its place and its content."""
    content = folder.parents[2] / "secret.onnx"
    (folder / "encoder.onnx").rename(content)
    make(folder / "encoder.onnx", content)


def repeat_a_key(folder: Path) -> None:
    """Name a member of the manifest twice."""
    file = folder / "manifest.json"
    file.write_text('{"schema_version": 1, ' + file.read_text().lstrip()[1:])


def swap_checksums(manifest: dict[str, Any]) -> None:
    """List the encoder under the decoder's checksum."""
    manifest["files"]["encoder.onnx"] = manifest["files"]["decoder.onnx"]


def rename_tensor(manifest: dict[str, Any]) -> None:
    """Give the encoder's input another name."""
    manifest["networks"]["encoder"]["input"]["name"] = "pictures"


POISONS: dict[str, Callable[[Path], object]] = {
    "above": lambda folder: rename_graph(folder, "../secret.onnx"),
    "absolute": lambda folder: rename_graph(folder, "/etc/passwd"),
    "symbolic link": lambda folder: replace_graph(folder, lambda p, c: p.symlink_to(c)),
    "hard link": lambda folder: replace_graph(folder, lambda p, c: p.hardlink_to(c)),
    "pipe": lambda folder: replace_graph(folder, lambda p, _: os.mkfifo(p)),
    "folder": lambda folder: replace_graph(folder, lambda p, _: p.mkdir()),
    "key twice": repeat_a_key,
    "NaN": lambda folder: change(
        folder,
        lambda m: m["metrics"].update(
            x={**next(iter(m["metrics"].values())), "value": float("nan")}
        ),
    ),
    "10 MB": lambda folder: change(folder, lambda m: m["provenance"].update(command=" " * 10**7)),
    "bad checksum": lambda folder: change(
        folder, lambda m: m["files"]["encoder.onnx"].update(sha256="0" * 64)
    ),
    "checksum of another": lambda folder: change(folder, swap_checksums),
    "huge latents": lambda folder: change(
        folder, lambda m: m["spaces"]["autoencoder"].update(latent_size=10**9)
    ),
    "other tensors": lambda folder: change(folder, rename_tensor),
    "of the future": lambda folder: change(folder, lambda m: m.update(schema_version=2)),
}


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_bundle_is_refused(folder: Path, poison: str) -> None:
    """Each is refused by name within a second of work, and no file outside the store is opened."""
    repository = Repository(folder.parents[1], lambda _: open_runtime("onnx", 1))
    open_runtime("onnx", 1)
    _listen()
    POISONS[poison](folder)
    opened.clear()
    start = time.process_time()

    with pytest.raises(ArtifactError, match="mnist@1: ") as refusal:
        repository.load(KEY)

    assert time.process_time() - start < 1
    assert [file for file in opened if not file.startswith(str(folder))] == []
    assert str(folder.parents[1]) not in str(refusal.value)


def test_the_bundle_is_good_otherwise(folder: Path) -> None:
    """What is poisoned above is served as it was."""
    repository = Repository(folder.parents[1], lambda _: open_runtime("onnx", 1))

    assert repository.load(KEY).reference == "mnist@1"


def test_a_refusal_is_logged_once_and_tried_again_after_a_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what is wrong; the files decide when it is worth another look."""
    bundle = write_bundle(tmp_path, "full")
    key = ("full", 1)
    good = (bundle.folder / "encoder.onnx").read_bytes()
    (bundle.folder / "encoder.onnx").write_bytes(b"half")
    repository = Repository(tmp_path, lambda _: FakeRuntime())

    with caplog.at_level(logging.ERROR):
        assert [repository.obtain(key, None) for _ in range(3)] == [None] * 3
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "refused full@1"
    ]
    assert "encoder.onnx" in repository.refused[key]

    (bundle.folder / "encoder.onnx").write_bytes(good)
    model = repository.obtain(key, None)

    assert model is not None
    assert repository.refused == {}
    assert repository.obtain(key, model) is model


class _FailingRuntime(FakeRuntime):
    """A backend whose networks load and cannot be run, or give what they should not."""

    def __init__(self, outputs: list[Floats] | None) -> None:
        super().__init__()
        self._outputs = outputs

    def load(self, graph: bytes, spec: object) -> Any:  # noqa: ANN401, ARG002 - a network
        return self

    def run(self, _: Floats) -> list[Floats]:
        """Fail, or give the same whatever is asked."""
        if self._outputs is None:
            raise InferenceError("the network could not be run")
        return self._outputs


def _lack_extra(_: str) -> Runtime:
    raise MissingExtraError("the backend needs something: install it")


@pytest.mark.parametrize(
    "runtime_for",
    [lambda _: _FailingRuntime(None), lambda _: _FailingRuntime([]), _lack_extra],
    ids=["fails", "other outputs", "no backend"],
)
def test_what_loads_and_cannot_run_is_refused(
    tmp_path: Path, runtime_for: Callable[[str], Runtime]
) -> None:
    """A network is tried before it is served; one bundle that fails is no other's trouble."""
    write_bundle(tmp_path, "full")
    repository = Repository(tmp_path, runtime_for)

    assert repository.obtain(("full", 1), None) is None
    assert [*repository.refused] == [("full", 1)]
