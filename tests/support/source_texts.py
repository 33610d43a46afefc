"""The string literals of Python files, to check that documentation quotes them correctly."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

VALUE = "..."
"""Placeholder of a value in a message: `expected {n} images` is `expected ... images`."""


def find_message(message: str, folders: Sequence[Path]) -> bool:
    """Return whether a literal contains the message; `...` in it matches any text."""
    pattern = re.compile(".*".join(re.escape(part) for part in message.split(VALUE)), re.DOTALL)
    return any(pattern.search(text) for folder in folders for text in read_literals(folder))


@cache
def read_literals(folder: Path) -> frozenset[str]:
    """Return all string literals in a folder of Python files, with `...` for inserted values."""
    return frozenset(
        text
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for text in _read(node)
    )


def _read(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
        )
