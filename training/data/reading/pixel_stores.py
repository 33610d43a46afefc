"""Pixels of many images: in memory, or in a file if they are too many.

A file is written in sequence and never mapped for writing: a full disk then raises an error,
where a mapped page would kill the process.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.data.splits import Pixels

MAX_MEMORY = 1 << 30
"""Bytes of a data set that is kept in memory, unless the machine has little of it."""
_MEMORY_PART = 4
_BLOCK = 1024
_Key = TypeVar("_Key")


class PixelStore:
    """Images (C, H, W) uint8 that are appended one by one."""

    def __init__(self, shape: tuple[int, int, int], capacity: int, scratch: Path) -> None:
        """Allocate memory for at most `capacity` images, or create a file in `scratch`."""
        self._shape = shape
        self._count = 0
        self._scratch = scratch
        self._array: Pixels | None = None
        if capacity * int(np.prod(shape)) <= min(MAX_MEMORY, count_memory() // _MEMORY_PART):
            self._array = np.empty((capacity, *shape), np.uint8)
        else:
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = (scratch / "all.pixels").open("wb+")

    def append(self, pixels: Pixels) -> None:
        """Add an image."""
        if self._array is None:
            self._file.write(pixels.tobytes())
        else:
            self._array[self._count] = pixels
        self._count += 1

    def split(self, rows: Mapping[_Key, NDArray[np.int64]]) -> dict[_Key, Pixels]:
        """Return the images at each group of ascending rows, and release the store."""
        if self._array is not None:
            return {key: self._array[indices] for key, indices in rows.items()}
        paths = {key: self._scratch / f"{key}.pixels" for key in rows}
        files = {key: path.open("wb") for key, path in paths.items()}
        for start, block in self._read_blocks():
            for key, indices in rows.items():
                first, last = np.searchsorted(indices, (start, start + len(block)))
                files[key].write(block[indices[first:last] - start].tobytes())
        for file in files.values():
            file.close()
        self.close()
        return {key: _map(path, self._shape) for key, path in paths.items()}

    def close(self) -> None:
        """Delete the file, if there is one."""
        if self._array is None:
            self._file.close()
            (self._scratch / "all.pixels").unlink(missing_ok=True)

    def _read_blocks(self) -> Iterable[tuple[int, Pixels]]:
        size = int(np.prod(self._shape))
        self._file.seek(0)
        for start in range(0, self._count, _BLOCK):
            content = self._file.read(_BLOCK * size)
            yield start, np.frombuffer(content, np.uint8).reshape(-1, *self._shape)


def _map(path: Path, shape: tuple[int, int, int]) -> Pixels:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.empty((0, *shape), np.uint8)
    return np.memmap(path, np.uint8, "c").reshape(-1, *shape)


def count_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
