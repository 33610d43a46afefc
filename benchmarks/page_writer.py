"""Write a page of figures from the records beside it, named as in FOLDERS: `make reliability`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from records import PERFORMANCE, RELIABILITY, Cell, Record, read_record

FOLDERS = {"performance": PERFORMANCE, "reliability": RELIABILITY}
_HEADS = {
    "performance": """# Performance

How fast latentd is beside its peers and beside what it stands on, in figures. This page is written
by `make bench` from the records beside it, [docs/performance](performance/); nothing in it is
typed. Every figure is measured side by side with what it is compared with, in rounds that
alternate, on the machine that its section names. What the peers are is in
[benchmarks/peers](../benchmarks/peers/), each with its pinned packages.

`make bench ARGS=classify` repeats a single figure; it needs `wrk`, `taskset`, two CPUs, and the
real Fashion-MNIST (`LATENTD_DATA`).
""",
    "reliability": """# Reliability

What latentd does when it is attacked, overloaded or broken, in figures. This page is written by
`python benchmarks/page_writer.py reliability` from the records beside it,
[docs/reliability](reliability/), which the scripts named below left; nothing in it is typed. Fast
versions of these tests run in `make test`; `make soak` and `make fuzz` repeat the long ones.
""",
}
_GOALS = {"performance": "Goal", "reliability": "Must hold"}


def find_page(name: str) -> Path:
    """Return a page's file."""
    return FOLDERS[name].parent / f"{name}.md"


def write_page(name: str, folder: Path | None = None) -> str:
    """Return a page: one table for each record, in order of their names.

    Args:
        name: A key of `FOLDERS`.
        folder: Where the records lie, if not there.
    """
    records = [read_record(file) for file in sorted((folder or FOLDERS[name]).glob("*.json"))]
    sections = [_write_section(record, _GOALS[name]) for record in records]
    return "\n".join([_HEADS[name], *sections])


def _write_section(record: Record, goal: str) -> str:
    seed = "" if record.seed is None else f" Seed {record.seed}."
    lines = [
        f"## {record.title}",
        "",
        f"**{goal}:** {record.goal}",
        "",
        _write_row(record.columns),
        _write_row(["---"] * len(record.columns)),
        *(_write_row(row) for row in record.rows),
        "",
        f"`{record.command}`, {record.date}.{seed} {record.machine}.",
        *(["", record.remark] if record.remark else []),
    ]
    return "\n".join(lines) + "\n"


def _write_row(cells: Sequence[Cell]) -> str:
    texts = [_write_cell(cell) for cell in cells]
    return f"| {' | '.join(texts)} |"


def _write_cell(cell: Cell) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", choices=sorted(FOLDERS))
    for name in parser.parse_args().pages:
        find_page(name).write_text(write_page(name))
        print(f"wrote {find_page(name).name}")


if __name__ == "__main__":
    main()
