"""A loaded fake model."""

from pathlib import Path

import pytest

from service.inference.model import Model, load_model
from tests.support.fakes import FakeRuntime, write_bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A whole bundle, loaded."""
    folder: Path = tmp_path_factory.mktemp("store")
    return load_model(write_bundle(folder, "full"), FakeRuntime())
