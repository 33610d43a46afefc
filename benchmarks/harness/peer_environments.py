"""Virtual environments of the peers, rebuilt when their pinned packages change."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PEERS = Path(__file__).parents[1] / "peers"
_PINS = "requirements.txt"


def ensure_environment(peer: str, home: Path) -> Path:
    """Return the `bin` folder of a peer's environment, after installing it if necessary.

    Args:
        peer: A folder in `benchmarks/peers` with a requirements.txt.
        home: The folder of the peers' environments.

    Raises:
        RuntimeError: The installation failed.
    """
    pins, folder = PEERS / peer / _PINS, home.absolute() / peer
    if not is_current(folder, pins):
        print(f"  installing {peer} into {home / peer}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, pins)
        shutil.copy(pins, folder / _PINS)
    return folder / "bin"


def is_current(folder: Path, pins: Path) -> bool:
    """Return whether an environment was installed from these pins."""
    installed = folder / _PINS
    return installed.is_file() and installed.read_text() == pins.read_text()


def _install(folder: Path, pins: Path) -> None:
    """Install the pinned packages; the pins are complete, so pip resolves no dependencies."""
    pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "install", "--no-deps", "--requirement", str(pins)],
    ):
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own
            raise RuntimeError(f"{folder.name}: Installing {pins.name} failed.")


def read_versions(python: str | os.PathLike[str], packages: Sequence[str]) -> str:
    """Return packages with their versions in an environment, for example "numpy 2.4"."""
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps([f'{name} {m.version(name)}' for name in sys.argv[1:]]))"
    )
    completed = subprocess.run(  # noqa: S603 - our own
        [python, "-c", code, *packages], check=True, capture_output=True, text=True
    )
    return ", ".join(json.loads(completed.stdout))
