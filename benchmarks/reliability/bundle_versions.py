"""Publish copies of the shipped bundles as new versions, and invalid versions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.dataset import find_bundle
from service.artifact import publish, stage
from service.artifact.store import describe_content

NAME = "live"
"""The bundle that gets new versions."""
SOURCES = ("fashion-mnist", "mnist")
"""The shipped bundles that are copied alternately; their responses differ."""


def copy_sources(store: Path) -> None:
    """Copy the shipped bundles into a store, each as version 1."""
    for source in SOURCES:
        shutil.copytree(find_bundle(source), store / source / "1")


def publish_copy(store: Path, source: str) -> int:
    """Publish a copy of a shipped bundle as the next version; return its number."""
    with stage(store, NAME) as folder:
        shutil.copytree(find_bundle(source), folder, dirs_exist_ok=True)
        return publish(folder, store, NAME).version


def _remove_file(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()


def _flip_bit(folder: Path) -> None:
    content = bytearray((folder / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(content)


def _raise_schema_version(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 3'))


def _replace_graph(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "encoder.onnx").write_bytes(b"not an ONNX graph")
    manifest["files"]["encoder.onnx"] = describe_content(b"not an ONNX graph").model_dump()
    (folder / "manifest.json").write_text(json.dumps(manifest))


CORRUPTIONS: tuple[Callable[[Path], None], ...] = (
    _remove_file,
    _flip_bit,
    _raise_schema_version,
    _replace_graph,
)


def publish_invalid(store: Path, number: int) -> None:
    """Add an invalid version to the store, without the checks of `publish`."""
    versions = store / NAME
    version = max(int(folder.name) for folder in versions.iterdir()) + 1
    with stage(store, NAME) as folder:
        shutil.copytree(find_bundle(SOURCES[number % 2]), folder, dirs_exist_ok=True)
        CORRUPTIONS[number % len(CORRUPTIONS)](folder)
        folder.rename(versions / str(version))
