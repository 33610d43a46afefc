"""Fixtures that several test folders share."""

from pathlib import Path

import pytest


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
