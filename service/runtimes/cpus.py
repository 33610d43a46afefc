"""How many CPUs this process may really use."""

import math
import os
from pathlib import Path


def count_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the CPUs of the affinity mask or of the container's quota, whichever is fewer.

    A container limited to half a CPU on a host of 64 cores has an affinity of 64: a thread for
    each core would spend the quota on waiting for each other.

    Args:
        cgroup: Where the control group's files are mounted (version 2, else version 1).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _read_quota(cgroup)
    return max(1, min(affinity or 1, math.ceil(quota) if quota else affinity or 1))


def _read_quota(cgroup: Path) -> float | None:
    """Return the CPU quota in CPUs, or None where there is none."""
    try:
        fields = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            fields = [
                (cgroup / "cpu" / f"cpu.cfs_{part}_us").read_text().strip()
                for part in ("quota", "period")
            ]
        except OSError:
            return None
    limit, period = fields
    return int(limit) / int(period) if limit not in {"max", "-1"} else None
