"""Markers of test folders, and fixtures that several test folders share."""

from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER_MARKERS = {
    "tests/browser": "browser",
    "tests/integration": "slow",
    "tests/unit/training": "training",
}
FIXTURE_MARKERS = {"digits_run": "training", "browser": "browser"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the import of a folder if `-m` excludes its marker: PyTorch alone takes seconds."""
    marker = FOLDER_MARKERS.get(_get_name(collection_path))
    excluded = f"not {marker}" in config.option.markexpr.split(" and ")
    return True if excluded else None


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and by the fixtures it uses."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for marker in choose_markers(item.path, fixtures):
            item.add_marker(marker)


def choose_markers(path: Path, fixtures: Iterable[str]) -> set[str]:
    """Return the markers of a test in a file that uses these fixtures."""
    name = _get_name(path)
    by_folder = {
        marker for folder, marker in FOLDER_MARKERS.items() if name.startswith(f"{folder}/")
    }
    return by_folder | {FIXTURE_MARKERS[name] for name in fixtures if name in FIXTURE_MARKERS}


def _get_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a short training of every network on the digits.

    The test calls the commands that a user types. `runs/digits` and `models_store/digits/1` share
    one new folder.
    """
    from training.commands.train import train  # noqa: PLC0415 - imports torch

    workspace = tmp_path_factory.mktemp("digits")
    folder_flags = ["--runs", str(workspace / "runs"), "--store", str(workspace / "models_store")]
    speed_flags = ["--epochs", "3", "--device", "cpu", "--set", "density.search_codes=200"]
    assert train(["digits", *folder_flags, *speed_flags]) == 0
    return workspace / "runs" / "digits"


@pytest.fixture(scope="session")
def digits_store(digits_run: Path) -> Path:
    """Return a models store with version 1 of the bundle `digits`, with every network."""
    return digits_run.parents[1] / "models_store"
