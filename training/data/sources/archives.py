"""Zip and tar archives, whose images are read in place: nothing is extracted by name."""

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.data.sources.catalogue import MAX_FILE_BYTES
from training.data.sources.names import (
    IMAGE_SUFFIXES,
    find_path_reason,
    get_suffix,
    show,
)
from training.errors import DataError

_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
    *(EOFError, ValueError),
)
_LABEL_SUFFIX = ".cls"
_MAX_LABEL_BYTES = 256


class ZipFiles:
    """Images in a zip archive."""

    def __init__(self, path: Path, prefix: str, ignored: Counter[str]) -> None:
        """List the archive; `prefix` precedes each name."""
        self._file = zipfile.ZipFile(path)  # its reads lock the file: threads may share it
        members = [info for info in self._file.infolist() if not info.is_dir()]
        self._members = [info for info in members if _is_image(_clean_path(info.filename), ignored)]
        self._members.sort(key=lambda info: info.filename)
        if any(info.flag_bits & 1 for info in self._members):
            raise DataError(f"{show(path.name)} is encrypted; unpack it first")
        self.names = [f"{prefix}{_clean_path(info.filename)}" for info in self._members]

    def read(self, index: int) -> bytes:
        """Return the content of an image's file."""
        info = self._members[index]
        if info.file_size > MAX_FILE_BYTES:
            raise ValueError("the file is larger than 512 MiB")
        with self._file.open(info) as file:
            return file.read(MAX_FILE_BYTES)


class TarFiles:
    """Images in a tar archive, with labels if it is a WebDataset shard.

    A shard has a file `<key>.cls` with the label beside the image `<key>.jpg`
    (https://github.com/webdataset/webdataset).
    """

    def __init__(self, path: Path, prefix: str, ignored: Counter[str], scratch: Path) -> None:
        """List the archive; a compressed one is unpacked into `scratch` for random access."""
        places: list[tuple[str, int, int]] = []
        labels: dict[str, str] = {}
        plain = _decompress(path, scratch)
        with tarfile.open(plain, "r:") as archive:
            for member in archive:
                # Or the list of a million members fills the memory.
                archive.members = []  # type: ignore[attr-defined]
                name = _clean_path(member.name)
                if not member.isreg():
                    ignored["links in archives"] += not member.isdir()
                elif name.endswith(_LABEL_SUFFIX) and member.size <= _MAX_LABEL_BYTES:
                    file = archive.extractfile(member)
                    text = b"" if file is None else file.read()
                    labels[name.removesuffix(_LABEL_SUFFIX)] = text.decode(errors="replace").strip()
                elif _is_image(name, ignored):
                    places.append((name, member.offset_data, member.size))
        places.sort()
        self._file = os.open(plain, os.O_RDONLY)
        self._places = [(offset, size) for _, offset, size in places]
        self.names = [f"{prefix}{name}" for name, _, _ in places]
        self.labels: list[str | None] | None = (
            [labels.get(_get_key(name)) for name, _, _ in places] if labels else None
        )

    def read(self, index: int) -> bytes:
        """Return the content of an image's file."""
        offset, size = self._places[index]
        if size > MAX_FILE_BYTES:
            raise ValueError("the file is larger than 512 MiB")
        return os.pread(self._file, size, offset)


def open_archive(
    path: Path, prefix: str, ignored: Counter[str], scratch: Path
) -> ZipFiles | TarFiles:
    """List the images of an archive.

    Args:
        path: The archive.
        prefix: Precedes the name of each image.
        ignored: Counts the ignored members, by the reason.
        scratch: Folder for the content of a compressed tar archive.

    Raises:
        DataError: the archive is damaged or encrypted.
    """
    try:
        if get_suffix(path.name) == ".zip":
            return ZipFiles(path, prefix, ignored)
        return TarFiles(path, prefix, ignored, scratch)
    except _DAMAGED as error:
        raise DataError(f"{show(path.name)} is not a valid archive: {error}") from error


def _decompress(path: Path, scratch: Path) -> Path:
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        return path
    scratch.mkdir(parents=True, exist_ok=True)
    plain = scratch / f"{path.stem}.{abs(hash(path))}.tar"
    with opener(path, "rb") as packed, plain.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return plain


def _clean_path(name: str) -> str:
    """Return a member's path with "/" between folders, and without `.` and `..`."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def _get_key(name: str) -> str:
    """Return the part of a path before the first dot of the file name, as WebDataset does."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _is_image(name: str, ignored: Counter[str]) -> bool:
    reason = find_path_reason(name)
    suffix = get_suffix(name)
    if reason is None and suffix in IMAGE_SUFFIXES - {".npy"}:
        return True
    reason = f"files: {reason}" if reason else f"{suffix or 'other'} files"
    ignored[reason] += 1
    return False
