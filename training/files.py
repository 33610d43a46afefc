"""Atomic file writes."""

import json
import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` atomically: write a temporary file next to it, fsync, rename.

    A process killed at any moment leaves either the old or the new file. Creates parent folders.

    Args:
        path: The file to replace.
        write: Writes the new content to the path that it receives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace `path` with `content` atomically."""
    replace_file(path, lambda temporary: temporary.write_bytes(content))


def replace_json(path: Path, value: object) -> None:
    """Replace `path` with `value` as indented JSON, atomically."""
    replace_bytes(path, (json.dumps(value, indent=1) + "\n").encode())
