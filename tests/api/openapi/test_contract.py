"""The service conforms to its OpenAPI document for generated requests."""

import json
import os
import subprocess
import sys
from pathlib import Path

CASES = 12
"""Generated requests for each operation in each mode.

`benchmarks/reliability/openapi_contract.py` sends more.
"""


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
        cwd=report.parent,  # schemathesis writes failed cases here
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_check_of_schemathesis_passes(url: str, tmp_path: Path) -> None:
    """Examples, boundary values, random and stateful requests get documented responses only."""
    report = tmp_path / "report.json"

    completed = run_schemathesis(url, report)

    assert completed.returncode == 0, completed.stdout[-8000:] + completed.stderr[-2000:]
    assert json.loads(report.read_text())
