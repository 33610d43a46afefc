"""The wall clock may jump: nothing is decided by it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

FILES = sorted(Path(service.__file__).parent.rglob("*.py"))
WALL = {
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
}
TOLD = {"access_log.py": ["time.time"]}
"""What is read only to be written into a line of the log."""
FROM_TIME = {"time", "time_ns", "localtime", "gmtime", "ctime"}


def list_readings(tree: ast.AST) -> Iterator[str]:
    """Yield what reads the wall clock in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL:
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (alias.name for alias in node.names if alias.name in FROM_TIME)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_reads_the_wall_clock(file: Path) -> None:
    """Deadlines, durations and reloads stand on the monotonic clock, or on none."""
    assert list(list_readings(ast.parse(file.read_text()))) == TOLD.get(file.name, [])


def test_a_reading_is_found() -> None:
    """What would read it is seen, however it is imported."""
    text = "import time\nfrom time import time_ns\nnow = time.time()\nsince = time.monotonic()"

    assert sorted(list_readings(ast.parse(text))) == ["time.time", "time_ns"]
