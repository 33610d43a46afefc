"""Folders: the walk over files, and reading the images among them."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.sources.arrays import to_image
from training.data.sources.catalogue import MAX_FILE_BYTES
from training.data.sources.names import (
    ARCHIVE_SUFFIXES,
    IMAGE_SUFFIXES,
    TABLE_SUFFIXES,
    find_reason,
    get_suffix,
)

_ARRAY_SUFFIXES = frozenset({".npz", ".parquet", ".arrow"})


@dataclass(slots=True)
class FoundFiles:
    """The files of a folder and of its sub-folders at any depth, by their kind."""

    images: list[str] = field(default_factory=list)
    """Paths relative to the folder, sorted, with "/" between folders."""
    tables: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    """`.npz`, `.parquet` and `.arrow` files."""
    ignored: Counter[str] = field(default_factory=Counter)


def find_files(root: Path) -> FoundFiles:
    """Return the files of a folder. Links are followed, and each folder is visited once."""
    found = FoundFiles()
    for path in _walk(root, found.ignored):
        suffix = get_suffix(path)
        if suffix in IMAGE_SUFFIXES:
            found.images.append(path)
        elif suffix in TABLE_SUFFIXES:
            found.tables.append(path)
        elif suffix in ARCHIVE_SUFFIXES:
            found.archives.append(path)
        elif suffix in _ARRAY_SUFFIXES:
            found.arrays.append(path)
        else:
            found.ignored[f"{suffix} files" if suffix else "files without a suffix"] += 1
    return found


def _walk(root: Path, ignored: Counter[str]) -> Iterator[str]:
    """Yield the relative path of each visible file; folders in the order of their names."""
    visited: set[tuple[int, int]] = set()
    base = str(root)
    for folder, folders, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            ignored["folders that a link repeats"] += 1
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in folders:
            if reason := find_reason(name):
                ignored[f"folders: {reason}"] += 1
        folders[:] = sorted(name for name in folders if find_reason(name) is None)
        prefix = os.path.relpath(folder, base).replace(os.sep, "/")
        for name in sorted(files):
            if reason := find_reason(name):
                ignored[f"files: {reason}"] += 1
            else:
                yield name if prefix == "." else f"{prefix}/{name}"


class FolderFiles:
    """Images in files of a folder."""

    def __init__(self, root: Path, names: list[str]) -> None:
        """Keep the paths relative to the folder."""
        self._root = root
        self.names = names

    def read(self, index: int) -> bytes | Image.Image:
        """Return the content of a file; of a `.npy` file the image."""
        path = self._root / self.names[index]
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("the file is larger than 512 MiB")
        if path.suffix.lower() == ".npy":
            return to_image(np.load(path, allow_pickle=False))
        return path.read_bytes()
