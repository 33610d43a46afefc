"""Tables of image names and labels: CSV, tab-separated and JSON-lines files."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from training.data.sources.catalogue import Part
from training.data.sources.names import find_part, show, strip_archive_suffix
from training.errors import DataError

Row: TypeAlias = Mapping[str, str]

_LABEL_COLUMNS = (
    *("label", "labels", "class", "class_name", "classname", "category", "target"),
    *("species", "breed", "diagnosis", "type", "y"),
)
_PART_COLUMNS = frozenset({"split", "set", "subset", "partition", "part"})
_SAMPLE_ROWS = 500
_MAX_DISTINCT = 0.5


@dataclass(frozen=True, slots=True)
class Table:
    """Labels and splits of images, by the image's index."""

    name: str
    labels: dict[int, str]
    parts: dict[int, Part]
    missing: int
    """Rows that name no image."""
    note: str


def read_table(path: Path, names: Sequence[str]) -> Table | None:
    """Match the rows of a table with images.

    The file column is the one with the most image names: a path, a file name or one without its
    suffix. The label column is called `label`, `class` or similar, or is the only other one.

    Args:
        path: The table.
        names: The path of each image.

    Returns:
        The matches; None if no column contains names of at least half of the images of a row
        sample.
    """
    rows = _read_rows(path)
    index = _index_names(names)
    columns = list(rows[0]) if rows else []
    counts = {
        column: sum(_find(row.get(column, ""), index) is not None for row in rows[:_SAMPLE_ROWS])
        for column in columns
    }
    file_column = max(counts, key=counts.__getitem__, default=None)
    if file_column is None or 2 * counts[file_column] < len(rows[:_SAMPLE_ROWS]):
        return None
    matches = [(_find(row.get(file_column, ""), index), row) for row in rows]
    found = [(image, row) for image, row in matches if image is not None]
    others = [column for column in columns if column != file_column]
    labels, note = _read_labels(path.name, found, others)
    return Table(path.name, labels, _read_parts(found, others), len(rows) - len(found), note)


def _read_rows(path: Path) -> list[Row]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        try:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{show(path.name)} is not valid JSON lines: {error}") from error
        return [{key: _to_text(value) for key, value in row.items()} for row in rows]
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    reader = csv.DictReader(text.splitlines(), dialect=dialect)
    return [{key or "": _to_text(value) for key, value in row.items()} for row in reader]


def _to_text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _index_names(names: Sequence[str]) -> dict[str, int | None]:
    """Return the image of each path, file name and name without suffix; None: ambiguous."""
    index: dict[str, int | None] = {}
    for number, name in enumerate(names):
        file = name.rpartition("/")[2]
        for key in {file, file.rpartition(".")[0]} - {name}:
            index[key] = None if key in index else number
    return {**index, **{name: number for number, name in enumerate(names)}}


def _find(value: str, index: Mapping[str, int | None]) -> int | None:
    path = value.replace("\\", "/").removeprefix("./")
    image = index.get(path)
    return index.get(path.rpartition("/")[2]) if image is None else image


def _read_labels(
    table: str, rows: Sequence[tuple[int, Row]], columns: Sequence[str]
) -> tuple[dict[int, str], str]:
    """Return the label of each image, and a line about its origin."""
    free = [column for column in columns if column.lower() not in _PART_COLUMNS]
    named = [column for name in _LABEL_COLUMNS for column in free if column.lower() == name]
    if column := (named[0] if named else free[0] if len(free) == 1 else None):
        labels = {image: row[column] for image, row in rows if row.get(column)}
        if len(set(labels.values())) > max(1, _MAX_DISTINCT * len(labels)):
            return {}, f"column {show(column)} of {show(table)} has too many values for classes"
        return labels, f"classes: column {show(column)} of {show(table)}"
    if free and all(_is_one_hot(row, free) for _, row in rows):
        labels = {
            image: next(column for column in free if float(row[column]) == 1) for image, row in rows
        }
        return labels, f"classes: the columns of {show(table)}"
    listed = ", ".join(show(column) for column in free[:8])
    return {}, (
        f"{show(table)} has no column called label"
        + (f" (columns: {listed}); rename the one with the classes" if free else "")
    )


def _is_one_hot(row: Row, columns: Iterable[str]) -> bool:
    try:
        values = [float(row[column]) for column in columns]
    except (ValueError, KeyError):
        return False
    return set(values) <= {0.0, 1.0} and sum(values) == 1


def _read_parts(rows: Sequence[tuple[int, Row]], columns: Sequence[str]) -> dict[int, Part]:
    column = next((name for name in columns if name.lower() in _PART_COLUMNS), None)
    if column is None:
        return {}
    parts = ((image, find_part(row.get(column, ""))) for image, row in rows)
    return {image: part for image, part in parts if part is not None}


def get_table_part(path: str) -> Part | None:
    """Return the split that a table's file name gives, as `train.csv` does."""
    return find_part(strip_archive_suffix(path.rpartition("/")[2]).rpartition(".")[0])
