"""CPU counts from affinity masks and container quotas."""

import os
from pathlib import Path

import pytest

from service.runtimes.cpus import count_cpus


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write_version_1(folder: Path, quota: str, period: str = "100000") -> None:
    """Write the files of control groups of version 1."""
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")


LIMITS = [
    ("max", "100000", 8),
    ("100000", "100000", 1),
    ("50000", "100000", 1),
    ("150000", "100000", 2),
    ("400000", "100000", 4),
    ("1600000", "100000", 8),
    ("1000", "100000", 1),
    ("25000", "50000", 1),
]


@pytest.mark.parametrize(("quota", "period", "cpus"), LIMITS)
def test_cgroup_2_quota(tmp_path: Path, quota: str, period: str, cpus: int) -> None:
    """The quota is rounded up to whole CPUs and cannot exceed the affinity mask."""
    (tmp_path / "cpu.max").write_text(f"{quota} {period}\n")

    assert count_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "period", "cpus"), LIMITS)
def test_cgroup_1_quota(tmp_path: Path, quota: str, period: str, cpus: int) -> None:
    """Version 1 stores the quota in two files; -1 means unlimited."""
    write_version_1(tmp_path, "-1" if quota == "max" else quota, period)

    assert count_cpus(tmp_path) == cpus


def test_cgroup_2_takes_precedence(tmp_path: Path) -> None:
    """If both versions are mounted, version 2 applies."""
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    write_version_1(tmp_path, "400000")

    assert count_cpus(tmp_path) == 2


def test_without_control_groups(tmp_path: Path) -> None:
    """Without control groups the affinity mask applies."""
    assert count_cpus(tmp_path) == 8


def test_without_affinity_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without affinity masks use the CPU count, at least 1."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert count_cpus(tmp_path) == 1
