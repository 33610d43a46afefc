"""The service keeps what its OpenAPI document says, for requests that a machine thinks up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CASES = 12
"""Generated requests for each operation in each mode; `benchmarks/contract.py` sends more."""


def run_schemathesis(url: str, report: Path) -> subprocess.CompletedProcess[str]:
    """Run every check of schemathesis on a running service."""
    command = [
        str(Path(sys.executable).with_name("st")),
        f"--config-file={Path(__file__).parents[1] / 'schemathesis.toml'}",
        *("run", f"{url}/openapi.json", "--checks=all", "--mode=all", "--seed=1"),
        *(f"--max-examples={CASES}", "--request-timeout=10", "--no-color"),
        *("--generation-database=none", f"--report-json-path={report}"),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    return subprocess.run(
        command,
        cwd=report.parent,  # where it keeps what failed
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_check_of_schemathesis_passes(url: str, tmp_path: Path) -> None:
    """Examples, boundary values, random and stateful requests: no 5xx, nothing undocumented."""
    report = tmp_path / "report.json"

    ended = run_schemathesis(url, report)

    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    written: dict[str, Any] = json.loads(report.read_text())
    assert written
