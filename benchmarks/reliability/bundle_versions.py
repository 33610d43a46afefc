"""Bundles for a store that changes: good copies of the shipped ones, and what must be refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from service.artifact import list_bundles, publish, stage
from service.artifact.store import describe_content

SHIPPED = Path(__file__).parents[1] / "models_store"
NAME = "live"
"""The bundle that gets one version after another."""
SOURCES = ("fashion-mnist", "mnist")
"""The shipped bundles that are copied; their answers differ."""


def find_shipped(source: str) -> Path:
    """Return the folder of a shipped bundle's highest version."""
    return SHIPPED / source / str(list_bundles(SHIPPED)[source][0])


def publish_copy(store: Path, source: str) -> int:
    """Publish a shipped bundle as the next version; return its number."""
    with stage(store, NAME) as folder:
        shutil.copytree(find_shipped(source), folder, dirs_exist_ok=True)
        return publish(folder, store, NAME).version


def _cut(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()


def _tamper(folder: Path) -> None:
    content = bytearray((folder / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(content)


def _age(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 2'))


def _break_graph(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "encoder.onnx").write_bytes(b"no graph")
    manifest["files"]["encoder.onnx"] = describe_content(b"no graph").model_dump()
    (folder / "manifest.json").write_text(json.dumps(manifest))


SPOILERS: tuple[Callable[[Path], None], ...] = (_cut, _tamper, _age, _break_graph)


def publish_spoiled(store: Path, number: int) -> None:
    """Put a version into the store that must be refused, past the checks of `publish`."""
    home = store / NAME
    version = max(int(folder.name) for folder in home.iterdir()) + 1
    with stage(store, NAME) as folder:
        shutil.copytree(find_shipped(SOURCES[number % 2]), folder, dirs_exist_ok=True)
        SPOILERS[number % len(SPOILERS)](folder)
        folder.rename(home / str(version))
