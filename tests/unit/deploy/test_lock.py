"""The lock of the image: hashes for every package, in the tested versions."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PIN = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def read_pins(file: str) -> dict[str, str]:
    """Return the versions of a file of pins by normalized name."""
    pins = PIN.findall((ROOT / file).read_text())
    return {name.lower().replace("_", "-"): version for name, version in pins}


def test_lock_has_the_tested_versions() -> None:
    """Each package is in the version of constraints.txt; only setuptools is for the build alone."""
    lock, tested = read_pins("deploy/requirements.lock"), read_pins("constraints.txt")

    assert {
        name: version for name, version in lock.items() if tested.get(name) != version
    }.keys() == {"setuptools"}


def test_lock_has_every_dependency_with_hashes() -> None:
    """Each dependency of the service is in the lock, and each package has a hash."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"]}
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)

    assert names <= read_pins("deploy/requirements.lock").keys()
    assert all("--hash=sha256:" in entry for entry in entries[1:])
