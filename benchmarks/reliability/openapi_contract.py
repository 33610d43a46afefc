"""Run all checks of schemathesis on a service with the shipped bundles."""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import HOST, run_latentd

_CONFIG = Path(__file__).parents[2] / "tests" / "api" / "schemathesis.toml"
_SEED = 1
_TIMEOUT = 1200.0
_PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")
_FAILURES = "failures"


def run_schemathesis(port: int, cases: int) -> tuple[bool, str]:
    """Return whether all checks pass, and the output.

    Args:
        port: Port of the service.
        cases: Generated requests for each operation in each mode.
    """
    command = [
        str(Path(sys.executable).with_name("st")),
        f"--config-file={_CONFIG}",
        *("run", f"http://{HOST}:{port}/openapi.json", "--checks=all", "--mode=all"),
        *(f"--seed={_SEED}", f"--max-examples={cases}", "--request-timeout=10", "--no-color"),
        "--generation-database=none",
    ]
    with tempfile.TemporaryDirectory() as folder:
        completed = subprocess.run(  # noqa: S603 - our own
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    return completed.returncode == 0, completed.stdout


def search(pattern: str, text: str) -> str:
    """Return the first group of a pattern; "?" without a match."""
    match = re.search(pattern, text)
    return match[1].strip() if match else "?"


def make_record(rows: Sequence[Sequence[Cell]], cases: int, remark: str) -> Record:
    """Return the record."""
    return Record(
        name="openapi_contract",
        title="Conformance to the OpenAPI document",
        seed=_SEED,
        command=f"python -m benchmarks.reliability.openapi_contract --cases {cases}",
        goal="All checks of schemathesis pass in all phases: no 5xx; no undocumented status, "
        "media type or schema; valid requests are accepted and invalid ones rejected.",
        columns=("metric", "value"),
        rows=rows,
        bounds=[[Bound("value", 0)] if row[0] == _FAILURES else [] for row in rows],
        remark="The shipped bundles on ONNX Runtime. `tests/api/schemathesis.toml` lists the "
        "operations that may reject a body that matches its schema, with documented statuses. "
        f"`make test` runs a smaller version. {remark}".strip(),
    )


def main() -> int:
    """Run the checks, write the record, and return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="per operation and mode")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    with run_latentd(["--log-level", "warning", "--max-samples", "64"]) as server:
        passed, text = run_schemathesis(server.port, parsed.cases)
    if not passed:
        print(text)
    rows: list[tuple[Cell, Cell]] = [
        ("operations", search(r"Tested: (\d+)", text)),
        *((f"{phase} phase", search(rf"{phase} \(in ([^)]+)\)", text)) for phase in _PHASES),
        ("API links followed", search(r"API Links: +(\d+) covered", text)),
        ("test cases", search(r"(\d+) generated", text)),
        (_FAILURES, 0 if passed else search(r"found (\d+) unique", text)),
    ]
    return conclude(make_record(rows, parsed.cases, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
