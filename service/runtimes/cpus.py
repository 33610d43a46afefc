"""The number of CPUs available to this process."""

import math
import os
from pathlib import Path


def count_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the size of the affinity mask or the container's CPU quota, whichever is smaller.

    A container limited to half a CPU on a host of 64 cores has an affinity mask of 64: one thread
    per core would spend the quota on waiting for each other.

    Args:
        cgroup: Mount point of the control groups (version 2, else version 1).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _read_quota(cgroup)
    return max(1, min(affinity or 1, math.ceil(quota) if quota else affinity or 1))


def _read_quota(cgroup: Path) -> float | None:
    """Return the CPU quota in CPUs; None without a quota."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    return int(quota) / int(period) if quota not in {"max", "-1"} else None
