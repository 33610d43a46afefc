"""Requirements beyond Python: without them a test skips, or fails where CI forbids skipping."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest


def require_data() -> Path:
    """Return the folder that contains MNIST/raw and FashionMNIST/raw."""
    folder = Path(os.environ.get("LATENTD_DATA", "data"))
    if not (folder / "MNIST" / "raw").is_dir() or not (folder / "FashionMNIST" / "raw").is_dir():
        _skip_or_fail(f"no MNIST and FashionMNIST in {folder} (set LATENTD_DATA)")
    return folder


def require_program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        _skip_or_fail(f"{name} is not installed")
    return str(path)


def require_module(name: str) -> None:
    """Require a Python package of an extra."""
    if importlib.util.find_spec(name) is None:
        _skip_or_fail(f"the package {name} is not installed")


def require_file(path: Path, command: str) -> Path:
    """Return the path of a file that `command` creates."""
    if not path.is_file():
        _skip_or_fail(f"no {path.name}: run {command}")
    return path


def _skip_or_fail(reason: str) -> None:
    if os.environ.get("LATENTD_TEST_NO_SKIP"):
        pytest.fail(reason)
    pytest.skip(reason)
