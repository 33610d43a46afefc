"""Atomic file writes, and the error of a full disk."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from training.errors import DiskFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def explain_full_disk(folder: Path | str) -> Iterator[None]:
    """Turn the error of a full disk within the block into one that names the folder (or URL).

    Raises:
        DiskFullError: the disk of `folder` is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"no space left in {folder}; nothing is lost: free some space and repeat the command"
        ) from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` atomically: write a temporary file next to it, fsync, rename.

    A process killed at any moment leaves either the old or the new file. Creates parent folders.

    Args:
        path: The file to replace.
        write: Writes the new content to the path that it receives.

    Raises:
        DiskFullError: the disk is full; the old file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with explain_full_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # the rest of a write that failed


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace `path` with `content` atomically."""
    replace_file(path, lambda temporary: temporary.write_bytes(content))


def replace_json(path: Path, value: object) -> None:
    """Replace `path` with `value` as indented JSON, atomically."""
    replace_bytes(path, (json.dumps(value, indent=1) + "\n").encode())
