"""Repeated and concurrent reloads of a real service under load."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_reloads_under_load(tmp_path: Path) -> None:
    """All reloads and requests succeed, and the last published version is loaded."""
    flags = {"reloads": 20, "clients": 8, "times": 5, "rate": 20, "output": tmp_path}

    subprocess.run(
        [sys.executable, "benchmarks/reloads.py", *(f"--{n}={v}" for n, v in flags.items())],
        cwd=ROOT,
        check=False,  # with so few reloads the row on memory growth may fail
        timeout=120,
    )

    record = json.loads((tmp_path / "reloads.json").read_text())
    rows = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
    assert [row["reloads"] for row in rows] == [20, 41]
    for row in rows:
        assert row["other than 200 or 409"] == 0
        assert row["inferences"] >= 20
        assert (row["failed"], row["wrong"]) == (0, 0)
        assert row["last published is served"] == "yes"
