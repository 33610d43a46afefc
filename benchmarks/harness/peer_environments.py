"""Virtual environments of the peers: made once, and again when their pins change."""

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
    """Return the `bin` of a peer's environment, made now unless it has these pins already.

    Args:
        peer: A folder in `benchmarks/peers` with a requirements.txt.
        home: The folder of the peers' environments.

    Raises:
        RuntimeError: the packages could not be installed.
    """
    pins, folder = PEERS / peer / _PINS, home.absolute() / peer
    if not is_current(folder, pins):
        print(f"  installing {peer} into {home / peer}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, pins)
        shutil.copy(pins, folder / _PINS)
    return folder / "bin"


def is_current(folder: Path, pins: Path) -> bool:
    """Tell whether an environment was made from these pins."""
    made = folder / _PINS
    return made.is_file() and made.read_text() == pins.read_text()


def _install(folder: Path, pins: Path) -> None:
    """Install exactly what is pinned: the pins name every package, so none has to be resolved."""
    pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "install", "--no-deps", "--requirement", str(pins)],
    ):
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own
            raise RuntimeError(f"{folder.name}: its packages could not be installed")


def read_versions(python: str | os.PathLike[str], packages: Sequence[str]) -> str:
    """Return packages with the versions that an environment has of them, as in "numpy 2.4"."""
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps([f'{name} {m.version(name)}' for name in sys.argv[1:]]))"
    )
    found = subprocess.run(  # noqa: S603 - our own
        [python, "-c", code, *packages], check=True, capture_output=True, text=True
    )
    return ", ".join(json.loads(found.stdout))
