"""Measure latentd's speed and write docs/performance.md: `make bench`.

usage: python benchmarks/bench.py [FIGURE ...]

Each figure is measured by a module of `benchmarks/performance` and leaves its record in
docs/performance; no figure named means all of them.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import page_writer
from performance.options import Options
from records import PERFORMANCE, write_record

FIGURES = {
    "classify": "classify",
    "json": "json_bodies",
    "tensors": "tensors",
    "workers": "workers",
    "latency": "latency",
    "footprint": "footprint",
    "training": "training_epoch",
    "giant": "giant",
}
"""The module that measures each."""
_PEERS = Path(__file__).parents[1] / "build" / "peers"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=3, help="of everything in turn")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("BENCHMARK_PEERS", _PEERS)),
        help="folder of the peers' virtual environments (env BENCHMARK_PEERS)",
    )
    parser.add_argument("--output", type=Path, default=PERFORMANCE, help="folder of the records")
    given = parser.parse_args(arguments)
    if unknown := sorted({*given.figures} - {*FIGURES}):
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    return given


def main() -> int:
    """Measure, write the records and the page; return 1 where a figure could not be measured."""
    given = parse()
    options = Options(given.rounds, given.seconds, peers=given.peers, remark=given.remark)
    failed = []
    for name in given.figures or FIGURES:
        print(name, flush=True)
        try:
            record = importlib.import_module(f"performance.{FIGURES[name]}").measure(options)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed.append(f"{name}: {error}")
            continue
        write_record(record, given.output)
        print(*record.rows, sep="\n", flush=True)
    if given.output == PERFORMANCE:
        page_writer.find_page("performance").write_text(page_writer.write_page("performance"))
    print(*failed, sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
