"""The fuzz targets, called with their seeds instead of atheris."""

import pytest

from benchmarks.reliability.fuzz import TARGETS
from service.errors import LatentdError


@pytest.mark.parametrize("name", TARGETS)
def test_target_decodes_its_seeds(name: str) -> None:
    """Each target accepts at least one of its seeds, and raises only latentd's errors."""
    make_seeds, make_target = TARGETS[name]
    target = make_target()
    accepted = 0

    for content in make_seeds():
        try:
            target(content)
        except LatentdError:
            continue
        accepted += 1

    assert accepted > 0
