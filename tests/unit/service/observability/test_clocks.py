"""The wall clock may jump, so no decision depends on it."""

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
FROM_TIME = {"time", "time_ns", "localtime", "gmtime", "ctime"}


def find_wall_clock_calls(tree: ast.AST) -> Iterator[str]:
    """Yield the calls and imports in a module that read the wall clock."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL:
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (alias.name for alias in node.names if alias.name in FROM_TIME)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_module_reads_the_wall_clock(file: Path) -> None:
    """Deadlines, durations and reloads use the monotonic clock or no clock."""
    assert list(find_wall_clock_calls(ast.parse(file.read_text()))) == []


def test_wall_clock_calls_are_found() -> None:
    """Calls and `from` imports are both found."""
    text = "import time\nfrom time import time_ns\nnow = time.time()\nstart = time.monotonic()"

    assert sorted(find_wall_clock_calls(ast.parse(text))) == ["time.time", "time_ns"]
