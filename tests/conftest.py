"""Fixtures that several kinds of tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short training of every network, `models_store/digits/1` beside it.

    The commands are what a user types; `runs/digits` and `models_store` lie in one new folder.
    """
    from training.commands.train import train  # noqa: PLC0415 - torch, for tests that ask for it

    home = tmp_path_factory.mktemp("digits")
    places = ["--runs", str(home / "runs"), "--store", str(home / "models_store")]
    quick = ["--epochs", "3", "--device", "cpu", "--set", "density.search_codes=200"]
    assert train(["digits", *places, *quick]) == 0
    return home / "runs" / "digits"


@pytest.fixture(scope="session")
def digits_store(digits_run: Path) -> Path:
    """Return a models store with the bundle `digits`, version 1, with every network."""
    return digits_run.parents[1] / "models_store"
