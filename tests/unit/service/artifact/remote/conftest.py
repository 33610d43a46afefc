"""A remote store in the memory of this process."""

from collections.abc import Iterator

import fsspec
import pytest

URL = "memory://bundles/production"


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of an empty store."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield URL
    files.store.clear()
