"""The memory limit of containers and machines."""

import os
from pathlib import Path

import pytest

from service.runtimes.memory_limit import read_memory_limit

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("text", "limit"),
    [("536870912", 536_870_912), ("max", MACHINE), ("9223372036854771712", MACHINE)],
)
@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_limit_of_the_container_or_the_machine(
    tmp_path: Path, file: str, text: str, limit: int
) -> None:
    """The smaller limit applies, in both versions of control groups."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"{text}\n")

    assert read_memory_limit(tmp_path) == limit


def test_without_control_groups(tmp_path: Path) -> None:
    """Without control groups the memory of the machine applies."""
    assert read_memory_limit(tmp_path) == MACHINE
