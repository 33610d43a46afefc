"""Bounds that the reliability scripts declare, applied to the stored records and to bad rows."""

import pytest

from benchmarks.harness.records import RELIABILITY, Cell, Record, read_record
from benchmarks.reliability import (
    attacks,
    fuzz,
    memory_growth,
    openapi_contract,
    overload,
    oversized_requests,
    repeated_reloads,
    resource_exhaustion,
    restarts,
    rolling_reloads,
    soak,
    worker_crashes,
)


def read(name: str) -> Record:
    """Return a stored record."""
    return read_record(RELIABILITY / f"{name}.json")


def make_crashes(record: Record) -> Record:
    """Return the record of crashes with the rows of another one."""
    rows = [list(row) for row in record.rows]
    return worker_crashes.make_record(dict(zip(worker_crashes.FAULTS, rows, strict=True)), 5)


MAKERS = {
    "attacks": lambda r: attacks.make_record(r.rows, ""),
    "fuzz": lambda r: fuzz.make_record(r.rows, ""),
    "memory_growth": lambda r: memory_growth.make_record(r.rows, ""),
    "openapi_contract": lambda r: openapi_contract.make_record(r.rows, 20, ""),
    "overload": lambda r: overload.make_record(r.rows, 20, 33.2, 0.1, ""),
    "oversized_requests": lambda r: oversized_requests.make_record(r.rows, ""),
    "repeated_reloads": lambda r: repeated_reloads.make_record(r.rows, ""),
    "resource_exhaustion": lambda r: resource_exhaustion.make_record(r.rows, ""),
    "restarts": lambda r: restarts.make_record(r.rows, ""),
    "rolling_reloads": lambda r: rolling_reloads.make_record(r.rows, ""),
    "soak": lambda r: soak.make_record(r.rows, 300, ""),
    "worker_crashes": make_crashes,
}


@pytest.mark.parametrize("name", sorted(file.stem for file in RELIABILITY.glob("*.json")))
def test_stored_bounds_are_those_of_the_script(name: str) -> None:
    """Each stored record has the columns and bounds that its script declares today."""
    stored = read(name)

    made = MAKERS[name](stored)

    assert made.name == name
    assert list(made.columns) == list(stored.columns)
    assert [list(bounds) for bounds in made.bounds] == stored.bounds


@pytest.mark.parametrize(
    ("name", "row", "column", "value"),
    [
        ("attacks", -1, "longest /livez ms", 101.0),
        ("attacks", -1, "others served %", 80.0),
        ("attacks", -1, "others median ms", 501.0),
        ("fuzz", 0, "findings", 1),
        ("memory_growth", 0, "growth MB", 9),
        ("openapi_contract", -1, "value", "2"),
        ("overload", -1, "goodput /s", 20.0),
        ("overload", 0, "lost", 1),
        ("overload", -1, "RSS MB", 400),
        ("oversized_requests", 1, "longest /livez ms", 101.0),
        ("oversized_requests", 1, "status", 200),
        ("repeated_reloads", 0, "growth %", 5.1),
        ("repeated_reloads", 1, "last version served", "no"),
        ("resource_exhaustion", 0, "CPU % meanwhile", 60),
        ("restarts", 0, "exit status", 1),
        ("restarts", -1, "descriptors left", 1),
        ("rolling_reloads", 0, "wrong responses", 1),
        ("soak", 0, "failed", 1),
        ("soak", -1, "RSS growth MB/h", 61.0),
        ("soak", -1, "threads", 7),
        ("soak", -1, "peak RSS MB", 513.0),
        ("worker_crashes", 0, "lost", 25),
        ("worker_crashes", 1, "max s", 10.5),
    ],
)
def test_violated_bound_is_reported(name: str, row: int, column: str, value: Cell) -> None:
    """A value outside its bound is reported with the name of its column."""
    stored = read(name)
    rows = [list(cells) for cells in stored.rows]
    rows[row][list(stored.columns).index(column)] = value
    bad = Record(
        **{key: getattr(stored, key) for key in ("name", "title", "command", "goal")},
        columns=stored.columns,
        rows=rows,
    )

    made = MAKERS[name](bad)

    index = row % len(rows)
    assert any(text.startswith(f"{column} is {value}") for text in made.list_violations(index))
