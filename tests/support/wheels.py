"""Wheels of the projects in this repository."""

import shutil
import subprocess
import sys
from pathlib import Path

_PARTS = ("pyproject.toml", "README.md", "latentd_client", "client", "service", "training")


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a wheel from a copy of a project, so that no earlier build is part of it."""
    copy = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    copy.mkdir()
    for name in _PARTS:
        if (project / name).is_dir():
            shutil.copytree(project / name, copy / name, ignore=ignored)
        elif (project / name).exists():
            shutil.copy2(project / name, copy / name)
    command = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", command], cwd=copy, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
