"""Records of benchmarks, and the pages that are written from them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from page_writer import FOLDERS, find_page, write_page
from records import Record, read_record, write_record

RECORD = Record(
    name="flood",
    title="A flood",
    command="python benchmarks/flood.py",
    goal="nothing is lost.",
    columns=("load", "lost"),
    rows=(("1x", 0), ("10x | all", 12345)),
    remark="It rained.",
    seed=7,
    date="2026-01-02",
    machine="a machine",
)


@pytest.mark.parametrize("name", [name for name in FOLDERS if find_page(name).exists()])
def test_a_page_is_what_the_script_writes(name: str) -> None:
    """Each page of figures is written from the records beside it, and by nobody else."""
    assert find_page(name).read_text() == write_page(name)


def test_a_record_comes_back(tmp_path: Path) -> None:
    """A record is read as it was written."""
    read = read_record(write_record(RECORD, tmp_path))

    assert (read.name, read.seed, read.goal) == ("flood", 7, "nothing is lost.")
    assert [tuple(row) for row in read.rows] == list(RECORD.rows)


def test_a_figure_of_nothing_is_a_dash(tmp_path: Path) -> None:
    """A record with NaN is valid JSON, and the page shows a dash."""
    file = write_record(replace(RECORD, rows=(("1x", math.nan),)), tmp_path)

    assert json.loads(file.read_text(), parse_constant=pytest.fail)["rows"] == [["1x", "-"]]
    assert "| 1x | - |" in write_page("reliability", tmp_path)


def test_a_record_becomes_a_table(tmp_path: Path) -> None:
    """Each record is a section with its goal, table, command, date, seed, machine and remark."""
    write_record(RECORD, tmp_path)

    page = write_page("reliability", tmp_path)

    assert "## A flood\n" in page
    assert "**Must hold:** nothing is lost." in page
    assert "| load | lost |\n| --- | --- |\n| 1x | 0 |\n| 10x \\| all | 12,345 |\n" in page
    assert "`python benchmarks/flood.py`, 2026-01-02. Seed 7. a machine." in page
    assert page.endswith("It rained.\n")


def test_an_uneven_record_is_refused(tmp_path: Path) -> None:
    """A row that does not fit the columns is not written."""
    with pytest.raises(ValueError, match="flood"):
        write_record(
            Record(name="flood", title="", command="", goal="", columns=("a",), rows=((1, 2),)),
            tmp_path,
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file",
    [file for folder in FOLDERS.values() for file in sorted(folder.glob("*.json"))],
    ids=lambda file: file.stem,
)
def test_records_tell_no_place(file: Path) -> None:
    """No record names a path or a user of the machine that it was made on."""
    text = file.read_text()

    assert not any(word in text for word in ("/home/", "/root/", "/tmp/"))  # noqa: S108 - what is looked for
