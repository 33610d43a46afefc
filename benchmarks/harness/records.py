"""The record that a benchmark leaves: `<name>.json` in docs/reliability or docs/performance.

`benchmarks/page_writer.py` writes docs/reliability.md and docs/performance.md from all of them. A
script does

    write_record(
        Record(
            name="overload",
            title="Ten times too much",
            seed=0,
            command="python benchmarks/overload.py",
            goal="goodput stays above 80 % of its peak",
            columns=("load", "goodput /s", "refused"),
            rows=(("1x", 61.2, "0 %"), ("10x", 58.9, "89 %")),
        )
    )

Cells are numbers with their unit in the column's name, or short text. A figure of nothing, NaN, is
written as "-": JSON knows no NaN.
"""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

Cell: TypeAlias = str | int | float

_DOCS = Path(__file__).parents[1] / "docs"
RELIABILITY = _DOCS / "reliability"
PERFORMANCE = _DOCS / "performance"


def describe_machine() -> str:
    """Return the processor, how many CPUs may be used, and the Python; no names, no paths."""
    processor = platform.processor() or platform.machine()
    for line in _read_cpuinfo():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    cpus = len(os.sched_getaffinity(0))
    return f"{processor}, {cpus} CPUs, {platform.system()}, Python {platform.python_version()}"


def _read_cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one script, as a table."""

    name: str
    """The file's name without its suffix."""
    title: str
    """The table's heading."""
    command: str
    """What makes this record again, run in the repository's root."""
    goal: str
    """What must hold, in one sentence."""
    columns: Sequence[str]
    """Heads of the columns, with units."""
    rows: Sequence[Sequence[Cell]]
    """As many cells each as there are columns."""
    remark: str = ""
    """What a reader must know besides: what ran at the same time, what was left out."""
    seed: int | None = None
    """What all randomness came from; None where there was none."""
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: str = field(default_factory=describe_machine)


def write_record(record: Record, folder: Path = RELIABILITY) -> Path:
    """Write a record to `<folder>/<name>.json` and return the file.

    Raises:
        ValueError: a row has not as many cells as there are columns.
    """
    for row in record.rows:
        if len(row) != len(record.columns):
            raise ValueError(f"{record.name}: {row} does not fit {record.columns}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record.name}.json"
    rows = [[_write_cell(cell) for cell in row] for row in record.rows]
    content = asdict(record) | {"rows": rows}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(f"{text}\n")
    return file


def _write_cell(cell: Cell) -> Cell:
    return "-" if isinstance(cell, float) and math.isnan(cell) else cell


def read_record(file: Path) -> Record:
    """Read a record.

    Raises:
        TypeError: a member is missing or unknown.
    """
    return Record(**json.loads(file.read_text()))
