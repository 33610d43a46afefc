"""Records: the JSON files that measurements write, and the bounds that their rows must meet.

`benchmarks/page_writer.py` renders the records of docs/reliability, docs/performance and
docs/scale as Markdown. A script declares the bounds for each row and ends with `conclude`:

    record = Record(
        name="overload",
        title="Overload",
        command="python -m benchmarks.reliability.overload",
        goal="No request is lost.",
        columns=("load", "goodput /s", "lost"),
        rows=(("1x", 61.2, 0), ("10x", 58.9, 0)),
        bounds=([Bound("lost", 0)], [Bound("lost", 0), Bound("goodput /s", 49, ">=")]),
    )
    return conclude(record)

Cells are numbers, with the unit in the column's name, or short text. NaN becomes "-", because JSON
cannot represent NaN.
"""

import json
import math
import operator
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

Cell: TypeAlias = str | int | float
Relation: TypeAlias = Literal["<=", ">=", "=="]

_DOCS = Path(__file__).parents[2] / "docs"
RELIABILITY = _DOCS / "reliability"
PERFORMANCE = _DOCS / "performance"
SCALE = _DOCS / "scale"
ANOMALY = _DOCS / "anomaly"
_COMPARE = {"<=": operator.le, ">=": operator.ge}


def describe_machine() -> str:
    """Return the processor, the number of usable CPUs, the system and the Python version."""
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
class Bound:
    """A limit for one cell of a row."""

    column: str
    limit: Cell
    relation: Relation = "<="

    def is_met(self, value: Cell) -> bool:
        """Return whether a cell meets the bound; a missing measurement ("-", NaN) does not."""
        if self.relation == "==":
            return value == self.limit
        if isinstance(value, str) or isinstance(self.limit, str):
            return False
        return bool(_COMPARE[self.relation](value, self.limit))


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one script, as a table."""

    name: str
    """File name without its suffix."""
    title: str
    """Heading of the table."""
    command: str
    """Command that repeats the measurement, run in the root of the repository."""
    goal: str
    """Promise that the table verifies, in one sentence."""
    columns: Sequence[str]
    """Column names, with units."""
    rows: Sequence[Sequence[Cell]]
    """One cell per column."""
    remark: str = ""
    """Method and conditions of the measurement."""
    seed: int | None = None
    """Seed of all randomness; None if there is none."""
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: str = field(default_factory=describe_machine)
    bounds: Sequence[Sequence[Bound]] = ()
    """Bounds of each row; empty if no row has any."""

    def list_violations(self, number: int) -> list[str]:
        """Return a description of each bound that row `number` violates."""
        row = dict(zip(self.columns, self.rows[number], strict=True))
        return [
            f"{bound.column} is {row[bound.column]}, not {bound.relation} {bound.limit}"
            for bound in self.bounds[number]
            if not bound.is_met(row[bound.column])
        ]


def write_record(record: Record, folder: Path = RELIABILITY) -> Path:
    """Write a record to `<folder>/<name>.json` and return the file.

    Raises:
        ValueError: A row has too few or too many cells, or rows and bounds differ in number.
    """
    for row in record.rows:
        if len(row) != len(record.columns):
            raise ValueError(f"{record.name}: {row} does not fit the columns {record.columns}.")
    if record.bounds and len(record.bounds) != len(record.rows):
        raise ValueError(
            f"{record.name}: Expected bounds for {len(record.rows)} rows, got {len(record.bounds)}."
        )
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
    """Return the record in a file.

    Raises:
        TypeError: A member is missing or unknown.
    """
    content = json.loads(file.read_text())
    bounds = [[Bound(**bound) for bound in row] for row in content.pop("bounds", ())]
    return Record(**content, bounds=bounds)


def conclude(record: Record, folder: Path = RELIABILITY) -> int:
    """Write a record, print it with its violations, and return the exit status.

    The status is 1 if a row violates a bound.
    """
    write_record(record, folder)
    rows = range(len(record.bounds))
    violations = [
        f"not met: {record.rows[row][0]}: {text}"
        for row in rows
        for text in record.list_violations(row)
    ]
    print(*record.rows, *filter(None, [record.remark]), *violations, sep="\n")
    return int(bool(violations))
