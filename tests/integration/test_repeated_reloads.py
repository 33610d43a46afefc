"""Repeated and concurrent reloads of a real service."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_reloads_lose_no_request(tmp_path: Path) -> None:
    """No reload and no inference fails, no response is wrong, and the last version is served."""
    flags = {"reloads": 20, "clients": 8, "times": 5, "rate": 20, "output": tmp_path}
    arguments = [f"--{name}={value}" for name, value in flags.items()]

    subprocess.run(
        [sys.executable, "-m", "benchmarks.reliability.repeated_reloads", *arguments],
        cwd=ROOT,
        check=False,  # 20 reloads are too few to measure the growth of memory
        timeout=120,
    )

    record = json.loads((tmp_path / "repeated_reloads.json").read_text())
    rows = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
    assert [row["reloads"] for row in rows] == [20, 41]
    for row in rows:
        assert row["reloads failed"] == 0
        assert row["inferences"] >= 20
        assert (row["failed"], row["wrong responses"]) == (0, 0)
        assert row["last version served"] == "yes"
