"""The memory available to this service."""

import os
from pathlib import Path

_FILES = ("memory.max", "memory/memory.limit_in_bytes")


def read_memory_limit(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the container's memory limit or the memory of the machine, whichever is smaller.

    Args:
        cgroup: Mount point of the control groups (version 2, else version 1).
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _FILES:
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        return min(limit, int(text)) if text.isdecimal() else limit
    return limit
