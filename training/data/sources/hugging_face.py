"""Hugging Face data sets: saved folders, Parquet files, and names on the hub.

The library `datasets` reads them; it is an extra (`pip install 'latentd[datasets]'`).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from training.data.sources.catalogue import Catalogue, Part
from training.data.sources.names import find_part, show
from training.errors import DataError

HUB_PREFIX = "hf:"
_LABEL_COLUMNS = ("label", "labels", "class", "category", "fine_label", "target")


class HuggingFaceImages:
    """The images of one split."""

    def __init__(self, split: str, rows: Any, column: str) -> None:  # noqa: ANN401 - a lazy import
        """Read the images of `column`."""
        self._rows, self._column = rows, column
        self.names = [f"{split}[{index}]" for index in range(len(rows))]

    def read(self, index: int) -> bytes:
        """Return the content of an image's file."""
        value = self._rows[index][self._column]
        if isinstance(value, Mapping):
            content = value.get("bytes")
            return bytes(content) if content else Path(value["path"]).read_bytes()
        if isinstance(value, Image.Image):
            stream = io.BytesIO()
            value.save(stream, "PNG")
            return stream.getvalue()
        return bytes(value)


def read_hub(name: str) -> Catalogue:
    """Download a data set of the Hugging Face hub, or read it from the library's cache."""
    library = _import_library(name)
    try:
        splits = library.load_dataset(name.removeprefix(HUB_PREFIX))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{show(name)} cannot be loaded: {reason}") from error
    return _read_splits(name.rpartition("/")[2].removeprefix(HUB_PREFIX), splits, library)


def read_saved(folder: Path) -> Catalogue:
    """Read a folder that the library's `save_to_disk` has written."""
    library = _import_library(folder.name)
    try:
        loaded = library.load_from_disk(str(folder))
    except Exception as error:
        raise DataError(f"{show(folder.name)} cannot be read: {error}") from error
    splits = loaded if isinstance(loaded, Mapping) else {"train": loaded}
    return _read_splits(folder.name, splits, library)


def read_parquet(name: str, files: Sequence[Path], scratch: Path) -> Catalogue:
    """Read Parquet files; words in their names select the split, as in `test-00000-of-00001`."""
    library = _import_library(name)
    by_part: dict[str, list[str]] = {}
    for path in files:
        by_part.setdefault(find_part(path.stem) or "train", []).append(str(path))
    try:
        splits = library.load_dataset(
            "parquet", data_files=by_part, cache_dir=str(scratch / "parquet")
        )
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{show(name)} cannot be read: {reason}") from error
    return _read_splits(name, splits, library)


def _import_library(name: str) -> Any:  # noqa: ANN401 - a module
    try:
        import datasets  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DataError(
            f"{show(name)}: Parquet files and Hugging Face data sets need the library 'datasets'; "
            "install it with: pip install 'latentd[datasets]'"
        ) from error
    datasets.disable_progress_bars()
    return datasets


def _read_splits(name: str, splits: Mapping[str, Any], library: Any) -> Catalogue:  # noqa: ANN401
    """Return the images of the splits that are named train, validation or test."""
    known = {split: rows for split, rows in splits.items() if find_part(split)} or dict(splits)
    first = next(iter(known.values()))
    image_column = _find_image_column(name, first.features, library)
    label_column = next((c for c in _LABEL_COLUMNS if c in first.features), None)
    containers, labels, parts = [], [], []
    for split, rows in known.items():
        is_image = isinstance(first.features[image_column], library.Image)
        raw = rows.cast_column(image_column, library.Image(decode=False)) if is_image else rows
        containers.append(HuggingFaceImages(split, raw, image_column))
        part: Part | None = find_part(split) if len(known) > 1 else None
        parts += [part] * len(rows)
        labels += _read_labels(rows, label_column)
    feature = first.features[label_column] if label_column else None
    classes = tuple(feature.names) if isinstance(feature, library.ClassLabel) else None
    note = [f"classes: column {label_column} of {show(name)}"] if label_column else []
    return Catalogue(name, containers, labels, classes, parts, notes=note)


def _find_image_column(name: str, features: Mapping[str, Any], library: Any) -> str:  # noqa: ANN401
    for column, feature in features.items():
        is_encoded = isinstance(feature, dict) and "bytes" in feature
        if isinstance(feature, library.Image) or is_encoded:
            return column
    for column, feature in features.items():
        if getattr(feature, "dtype", "") in {"binary", "large_binary"}:
            return column
    raise DataError(f"{show(name)} has no column of images (columns: {', '.join(features)})")


def _read_labels(rows: Any, column: str | None) -> list[str | None]:  # noqa: ANN401
    if column is None:
        return [None] * len(rows)
    feature = rows.features[column]
    names = getattr(feature, "names", None)
    values = rows[column]
    if names:
        return [names[value] if value is not None and value >= 0 else None for value in values]
    return [None if value is None else str(value) for value in values]
