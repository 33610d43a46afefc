"""Imports without publication."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.foreign_models import save_decoder, save_encoder, save_images
from training.importing.importer import make_recipe
from training.importing.options import ImportOptions
from training.importing.reading import Imported, read_networks

Read: TypeAlias = Callable[..., tuple[Imported, list[str]]]


def make_options(folder: Path, **changes: Any) -> ImportOptions:  # noqa: ANN401 - any option
    """Return options with an encoder, a decoder and images in a folder, and changes."""
    members: dict[str, Any] = {
        "name": "foreign",
        "data": str(folder / "images.npz"),
        "data_root": folder,
        "command": "latentd import foreign",
        "encoder": folder / "encoder.onnx",
        "decoder": folder / "decoder.onnx",
    }
    return ImportOptions(**(members | changes))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes missing default files, and reads the networks."""

    def run(**changes: Any) -> tuple[Imported, list[str]]:  # noqa: ANN401 - any option
        if not (tmp_path / "images.npz").exists():
            save_images(tmp_path / "images.npz")
        for name, save in (("encoder", save_encoder), ("decoder", save_decoder)):
            if not (tmp_path / f"{name}.onnx").exists():
                save(tmp_path / f"{name}.onnx")
        lines: list[str] = []
        options = make_options(tmp_path, **changes)
        return read_networks(options, make_recipe(options), tmp_path, lines.append), lines

    return run
