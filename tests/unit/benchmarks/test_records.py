"""Records of measurements, their bounds, and the pages written from them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness.records import Bound, Record, conclude, read_record, write_record
from benchmarks.page_writer import FOLDERS, find_page, write_page

RECORD = Record(
    name="flood",
    title="A flood",
    command="python -m benchmarks.flood",
    goal="No request is lost.",
    columns=("load", "lost"),
    rows=(("1x", 0), ("10x | all", 12345)),
    remark="Two CPUs.",
    seed=7,
    date="2026-01-02",
    machine="a machine",
)
BOUNDED = replace(RECORD, bounds=([Bound("lost", 0)], [Bound("lost", 100)]))


@pytest.mark.parametrize("name", [name for name in FOLDERS if find_page(name).exists()])
def test_page_equals_the_output_of_the_script(name: str) -> None:
    """The committed pages are the output of the page writer for the committed records."""
    assert find_page(name).read_text() == write_page(name)


def test_record_round_trip(tmp_path: Path) -> None:
    """A record is read as it was written, including its bounds."""
    record = read_record(write_record(BOUNDED, tmp_path))

    assert (record.name, record.seed, record.goal) == ("flood", 7, "No request is lost.")
    assert [tuple(row) for row in record.rows] == list(RECORD.rows)
    assert record.bounds == [[Bound("lost", 0)], [Bound("lost", 100)]]


def test_nan_becomes_a_dash(tmp_path: Path) -> None:
    """A record with NaN is valid JSON, and the page shows a dash."""
    file = write_record(replace(RECORD, rows=(("1x", math.nan),)), tmp_path)

    assert json.loads(file.read_text(), parse_constant=pytest.fail)["rows"] == [["1x", "-"]]
    assert "| 1x | - |" in write_page("reliability", tmp_path)


def test_record_becomes_a_section(tmp_path: Path) -> None:
    """A section has a goal, a table, the command, date, seed, machine and remark."""
    write_record(RECORD, tmp_path)

    page = write_page("reliability", tmp_path)

    assert "## A flood\n" in page
    assert "**Must hold:** No request is lost." in page
    assert "| load | lost |\n| --- | --- |\n| 1x | 0 |\n| 10x \\| all | 12,345 |\n" in page
    assert "`python -m benchmarks.flood`, 2026-01-02. Seed 7. a machine." in page
    assert page.endswith("Two CPUs.\n")


def test_page_shows_whether_bounds_are_met(tmp_path: Path) -> None:
    """The column *met* is "yes", or "no" with the violated bound, or a dash without bounds."""
    rows = (("1x", 0), ("10x", 12345), ("quiet", 5))
    write_record(replace(BOUNDED, rows=rows, bounds=(*BOUNDED.bounds, [])), tmp_path)

    page = write_page("reliability", tmp_path)

    assert "| load | lost | met |\n" in page
    assert "| 1x | 0 | yes |\n" in page
    assert "| 10x | 12,345 | no: lost is 12345, not <= 100 |\n" in page
    assert "| quiet | 5 | - |\n" in page


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        (Bound("ms", 100), 100, True),
        (Bound("ms", 100), 100.1, False),
        (Bound("goodput", 0.8, ">="), 0.8, True),
        (Bound("goodput", 0.8, ">="), 0.79, False),
        (Bound("status", 413, "=="), 413, True),
        (Bound("status", 413, "=="), 0, False),
        (Bound("served", "yes", "=="), "no", False),
        (Bound("ms", 100), "-", False),
        (Bound("ms", 100), math.nan, False),
        (Bound("goodput", 0, ">="), math.nan, False),
    ],
)
def test_bound_is_met_or_violated(bound: Bound, value: str | float, met: bool) -> None:
    """A value equal to the limit meets the bound; a missing measurement does not."""
    assert bound.is_met(value) is met


def test_violation_sets_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script exits with 0 if all bounds are met, and otherwise prints them and exits with 1."""
    assert conclude(replace(BOUNDED, rows=(("1x", 0), ("10x", 100))), tmp_path) == 0
    assert "not met" not in capsys.readouterr().out

    assert conclude(BOUNDED, tmp_path) == 1
    assert "not met: 10x | all: lost is 12345, not <= 100" in capsys.readouterr().out


@pytest.mark.parametrize(
    "invalid",
    [replace(RECORD, columns=("a",)), replace(RECORD, bounds=([Bound("lost", 0)],))],
    ids=["cells", "bounds"],
)
def test_uneven_record_is_rejected(invalid: Record, tmp_path: Path) -> None:
    """A record with too many cells or too few bounds is not written."""
    with pytest.raises(ValueError, match="flood"):
        write_record(invalid, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file",
    [file for folder in FOLDERS.values() for file in sorted(folder.glob("*.json"))],
    ids=lambda file: file.stem,
)
def test_records_contain_no_local_path(file: Path) -> None:
    """A record contains no path or user name of the machine that measured it."""
    text = file.read_text()

    assert not any(word in text for word in ("/home/", "/root/", "/tmp/"))  # noqa: S108 - searched for
