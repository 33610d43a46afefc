"""Fixtures: a published fake bundle."""

import shutil
from pathlib import Path

import pytest

from service.artifact import Bundle, open_bundle
from tests.support.fakes import write_bundle


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with one complete bundle; tests must not change it."""
    folder = tmp_path_factory.mktemp("published")
    write_bundle(folder, "full")
    return folder


@pytest.fixture
def bundle(published: Path, tmp_path: Path) -> Bundle:
    """Return a complete bundle, the only one in its store."""
    return open_bundle(shutil.copytree(published, tmp_path / "store"), "full", 1)
