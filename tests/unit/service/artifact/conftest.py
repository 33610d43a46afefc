"""A published fake bundle."""

from pathlib import Path

import pytest
from fakes import write_bundle

from service.artifact import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A whole bundle, the only one in its store."""
    return write_bundle(tmp_path / "store", "full")
