"""Look up pinned packages in a file of the vulnerability database osv.dev.

osv.dev offers the records of all Python packages as one archive, `PyPI/all.zip`: a machine without
network access can use a copy of it.

usage: python audit_file.py DATABASE PINS
"""

import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_PIN = re.compile(r"^([\w.-]+)==([\w.+!-]+)", re.MULTILINE)


def read_records(database: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an archive of JSON files in the OSV format."""
    with zipfile.ZipFile(database) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Return whether a version is listed, or within a range of versions."""
    if version in affected.get("versions", []):
        return True
    ranges = [each for each in affected.get("ranges", []) if each["type"] == "ECOSYSTEM"]
    return any(_is_within(Version(version), each["events"]) for each in ranges)


def _is_within(version: Version, events: list[dict[str, str]]) -> bool:
    """Return whether the last event at or before a version introduces the vulnerability."""
    is_within = False
    for event in events:  # the schema requires their order
        (kind, bound), *_ = event.items()
        try:
            limit = Version(bound)
        except InvalidVersion:
            continue
        if kind == "introduced" and version >= limit:
            is_within = True
        elif (kind == "fixed" and version >= limit) or (
            kind == "last_affected" and version > limit
        ):
            is_within = False
    return is_within


def find_vulnerabilities(database: Path, pins: str) -> tuple[list[str], int]:
    """Return a line per vulnerability of the pinned packages, and the number of records."""
    versions = {canonicalize_name(name): version for name, version in _PIN.findall(pins)}
    found: defaultdict[str, set[str]] = defaultdict(set)
    count = 0
    for record in read_records(database):
        count += 1
        for affected in () if "withdrawn" in record else record.get("affected", ()):
            name = canonicalize_name(affected.get("package", {}).get("name", ""))
            if name in versions and is_affected(versions[name], affected):
                found[f"{name} {versions[name]}"].add(record["id"])
    return [f"{pin}: {', '.join(sorted(ids))}" for pin, ids in sorted(found.items())], count


def main(database: str, pins: str) -> int:
    """Print the vulnerabilities; return 1 if there are any, 2 without a usable database."""
    try:
        found, count = find_vulnerabilities(Path(database), Path(pins).read_text())
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        print(f"Expected an archive of OSV records, got {database}: {error}", file=sys.stderr)
        return 2
    if not count:
        print(f"Expected an archive of OSV records, got {database} without any", file=sys.stderr)
        return 2
    print(*found or [f"No package has a vulnerability in {count} records of {database}"], sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
