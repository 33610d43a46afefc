"""New versions of a bundle under load, with two worker processes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_new_versions_lose_no_request(tmp_path: Path) -> None:
    """No request fails, and each response comes from the model that it names."""
    flags = {"seconds": 12, "quiet-seconds": 1, "versions": 3, "rate": 30, "workers": 2}
    arguments = [f"--{name}={value}" for name, value in {**flags, "output": tmp_path}.items()]

    subprocess.run(
        [sys.executable, "-m", "benchmarks.reliability.rolling_reloads", *arguments],
        cwd=ROOT,
        check=True,
        timeout=120,
    )

    record = json.loads((tmp_path / "rolling_reloads.json").read_text())
    (row,) = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
    assert row["requests"] > 100
    assert (row["failed"], row["wrong responses"]) == (0, 0)
    assert (row["new versions"], row["invalid versions"]) == (3, 3)
