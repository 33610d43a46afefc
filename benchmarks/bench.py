"""Measure the speed of latentd and write docs/performance.md: `make bench`.

usage: python -m benchmarks.bench [SECTION ...]

A module of `benchmarks/performance` measures each section and writes its record to
docs/performance. Without arguments, all sections are measured.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import page_writer
from benchmarks.harness.options import Options
from benchmarks.harness.records import PERFORMANCE, write_record

MODULES = {
    "classify": "classify",
    "json": "json_bodies",
    "tensors": "tensors",
    "workers": "workers",
    "latency": "latency",
    "footprint": "footprint",
    "training": "training_epoch",
    "large_model": "large_model",
}
"""The module that measures each section."""
_PEERS = Path(__file__).parents[1] / "build" / "peers"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line; exit with an error for an unknown section."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(MODULES))
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of a measurement")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("BENCHMARK_PEERS", _PEERS)),
        help="folder of the peers' virtual environments (env BENCHMARK_PEERS)",
    )
    parser.add_argument("--output", type=Path, default=PERFORMANCE, help="folder of the records")
    parsed = parser.parse_args(arguments)
    if unknown := sorted({*parsed.sections} - {*MODULES}):
        parser.error(f"unknown section: {', '.join(unknown)}; expected: {', '.join(MODULES)}")
    return parsed


def main() -> int:
    """Measure, write the records and the page; return 1 if a measurement failed."""
    parsed = parse_arguments()
    options = Options(parsed.rounds, parsed.seconds, peers=parsed.peers, remark=parsed.remark)
    failures = []
    for name in parsed.sections or MODULES:
        print(name, flush=True)
        module = importlib.import_module(f"benchmarks.performance.{MODULES[name]}")
        try:
            record = module.measure(options)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{name}: {error}")
            continue
        write_record(record, parsed.output)
        print(*record.rows, sep="\n", flush=True)
    if parsed.output == PERFORMANCE:
        page_writer.find_page("performance").write_text(page_writer.write_page("performance"))
    print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
