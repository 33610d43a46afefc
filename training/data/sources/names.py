"""File and folder names: which are images, which are ignored, and which are splits."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from training.data.sources.catalogue import Part

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".npy"}
)
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_IGNORED_FOLDERS = {
    "__macosx": "in __MACOSX folders",
    "@eadir": "thumbnails",
    "thumbnails": "thumbnails",
    "thumbs": "thumbnails",
    "$recycle.bin": "in the recycle bin",
    "lost+found": "in lost+found folders",
}
_IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_MAX_SHOWN = 80


def find_part(name: str) -> Part | None:
    """Return the split that a folder, file or column value names, such as `Train` or `val_images`.

    A name with words of two splits, such as `train-test`, is none.
    """
    words = re.split(r"[^a-z]+", name.lower())
    parts = {_PARTS[word] for word in words if word in _PARTS}
    return parts.pop() if len(parts) == 1 else None


def find_reason(name: str) -> str | None:
    """Return why a file or folder is ignored by its name alone, or None."""
    if name.startswith("."):
        return "hidden"
    if name.lower() in _IGNORED_FILES:
        return "thumbnails and settings of the system"
    return _IGNORED_FOLDERS.get(name.lower())


def find_path_reason(path: str) -> str | None:
    """Return why a file is ignored by a part of its path, or None."""
    reasons = (find_reason(part) for part in path.split("/"))
    return next((reason for reason in reasons if reason is not None), None)


def get_suffix(name: str) -> str:
    """Return the suffix of a file name in lower case, `.tar.gz` as a whole."""
    lower = name.lower()
    double = next((end for end in ARCHIVE_SUFFIXES if lower.endswith(end)), None)
    return double or PurePath(lower).suffix


def strip_archive_suffix(name: str) -> str:
    """Return the name of an archive without its suffix; other names are unchanged."""
    suffix = next((end for end in ARCHIVE_SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)]


def clean(name: str) -> str:
    """Return a name as text for output: valid Unicode (NFC) without control characters."""
    text = os.fsencode(name).decode(errors="replace")
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_control(letter) else letter for letter in text
    )
    return unicodedata.normalize("NFC", text)


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Cs"}


def show(name: str) -> str:
    """Return a name for one line of output, shortened at its start if it is long."""
    text = clean(name)
    return text if len(text) <= _MAX_SHOWN else f"...{text[-_MAX_SHOWN:]}"


def show_list(names: Iterable[str], limit: int = 5) -> str:
    """Return the first names of a list for one line of output."""
    listed = list(names)
    shown = ", ".join(show(name) for name in listed[:limit])
    return f"{shown}, and {len(listed) - limit:,} more" if len(listed) > limit else shown


def sort_naturally(names: Iterable[str]) -> list[str]:
    """Sort names so that `2` comes before `10`."""
    return sorted(set(names), key=_split_digits)


def _split_digits(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
