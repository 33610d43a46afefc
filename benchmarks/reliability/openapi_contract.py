"""Run every check of schemathesis on a real service with the shipped bundles."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from records import Record, write_record
from servers import HOST, run_latentd

CONFIG = Path(__file__).parents[1] / "tests" / "api" / "schemathesis.toml"
_SEED = 1
_TIMEOUT = 1200.0
_PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")


def run_schemathesis(port: int, cases: int) -> tuple[bool, str]:
    """Return whether everything passed, and what was said.

    Args:
        port: Of a service on the loopback.
        cases: Generated requests for each operation in each mode.
    """
    command = [
        str(Path(sys.executable).with_name("st")),
        f"--config-file={CONFIG}",
        *("run", f"http://{HOST}:{port}/openapi.json", "--checks=all", "--mode=all"),
        *(f"--seed={_SEED}", f"--max-examples={cases}", "--request-timeout=10", "--no-color"),
        "--generation-database=none",
    ]
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(  # noqa: S603 - our own
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    return ended.returncode == 0, ended.stdout


def find(pattern: str, text: str) -> str:
    """Return what a pattern's group found; "?" where it found nothing."""
    found = re.search(pattern, text)
    return found[1].strip() if found else "?"


def main() -> int:
    """Run, write the record, and return 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="for each operation and mode")
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    given = parser.parse_args()
    with run_latentd(["--log-level", "warning", "--max-samples", "64"]) as server:
        passed, text = run_schemathesis(server.port, given.cases)
    if not passed:
        print(text)
    rows = [
        ("operations", find(r"Tested: (\d+)", text)),
        *((f"{phase} phase", find(rf"{phase} \(in ([^)]+)\)", text)) for phase in _PHASES),
        ("API links followed", find(r"API Links: +(\d+) covered", text)),
        ("test cases", find(r"(\d+) generated", text)),
        ("failures", 0 if passed else find(r"found (\d+) unique", text)),
    ]
    write_record(
        Record(
            name="schemathesis",
            title="The OpenAPI document holds",
            seed=_SEED,
            command=f"python benchmarks/contract.py --cases {given.cases}",
            goal="all checks of schemathesis pass in all phases, stateful too: no 5xx, no "
            "undocumented status, type or schema, nothing good refused or bad taken.",
            columns=("what", "figure"),
            rows=rows,
            remark="The shipped bundles on onnxruntime. Where a body that fits its schema may "
            "still be refused, with documented statuses, is in `tests/api/schemathesis.toml`; a "
            f"smaller run is part of `make test`. {given.remark}".strip(),
        )
    )
    print(*rows, sep="\n")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
