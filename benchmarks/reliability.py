"""Write docs/reliability.md from the records in docs/reliability/: `make reliability`."""

from collections.abc import Sequence
from pathlib import Path

from records import FOLDER, Cell, Record, read_record

PAGE = FOLDER.parent / "reliability.md"
_HEAD = """# Reliability

What latentd does when it is attacked, overloaded or broken, in figures. This page is written by
`python benchmarks/reliability.py` from the records beside it, [docs/reliability](reliability/),
which the scripts named below left; nothing in it is typed. Fast versions of these tests run in
`make test`; `make soak` and `make fuzz` repeat the long ones.
"""


def write_page(folder: Path = FOLDER) -> str:
    """Return the page: one table for each record, in order of their names."""
    records = [read_record(file) for file in sorted(folder.glob("*.json"))]
    return "\n".join([_HEAD, *(_write_section(record) for record in records)])


def _write_section(record: Record) -> str:
    seed = "" if record.seed is None else f" Seed {record.seed}."
    lines = [
        f"## {record.title}",
        "",
        f"**Must hold:** {record.goal}",
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


if __name__ == "__main__":
    PAGE.write_text(write_page())
    print(f"wrote {PAGE.name}")
