"""Real bundles are published while a real server is under load."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_models_change_under_load(tmp_path: Path) -> None:
    """With two workers no request fails, and each response is from the model that it names."""
    flags = {"seconds": 4, "quiet-seconds": 1, "swaps": 3, "rate": 30, "workers": 2}

    subprocess.run(
        [
            sys.executable,
            "benchmarks/swaps.py",
            *(f"--{n}={v}" for n, v in flags.items()),
            f"--output={tmp_path}",
        ],
        cwd=ROOT,
        check=True,
        timeout=120,
    )

    record = json.loads((tmp_path / "swaps.json").read_text())
    (row,) = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
    assert row["requests"] > 100
    assert (row["failed"], row["answer of another model"]) == (0, 0)
    assert (row["swaps"], row["refused"]) == (3, 3)
