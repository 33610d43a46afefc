"""What some tests need beyond Python; without it they skip, or fail where CI forbids skipping."""

import os
import shutil
from pathlib import Path

import pytest


def need_data() -> Path:
    """Return the folder that holds MNIST/raw and FashionMNIST/raw."""
    folder = Path(os.environ.get("LATENTD_DATA", "data"))
    if not (folder / "MNIST" / "raw").is_dir() or not (folder / "FashionMNIST" / "raw").is_dir():
        _give_up(f"no MNIST and FashionMNIST in {folder} (set LATENTD_DATA)")
    return folder


def need_program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        _give_up(f"{name} is not installed")
    return str(path)


def need_file(path: Path, command: str) -> Path:
    """Return the path of a file that a command brings."""
    if not path.is_file():
        _give_up(f"no {path.name}: run {command}")
    return path


def _give_up(reason: str) -> None:
    if os.environ.get("LATENTD_TEST_NO_SKIP"):
        pytest.fail(reason)
    pytest.skip(reason)
