"""Loaded fake models."""

from pathlib import Path

import pytest
from fakes import FakeRuntime, write_bundle

from service.inference.model import Model, load_model


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A whole bundle, loaded."""
    return load_model(write_bundle(tmp_path, "full"), FakeRuntime())
