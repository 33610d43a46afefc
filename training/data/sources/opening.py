"""Opens a data set: a folder, an archive, a table, arrays, or a Hugging Face data set."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.data.sources.archives import open_archive
from training.data.sources.arrays import read_arrays
from training.data.sources.catalogue import Catalogue, Container, Part
from training.data.sources.files import FolderFiles, FoundFiles, find_files
from training.data.sources.hugging_face import HUB_PREFIX, read_hub, read_parquet, read_saved
from training.data.sources.names import (
    ARCHIVE_SUFFIXES,
    TABLE_SUFFIXES,
    get_suffix,
    show,
    show_list,
    strip_archive_suffix,
)
from training.data.sources.tables import Table, get_table_part, read_table
from training.errors import DataError

_SAVED_FILES = ("dataset_info.json", "dataset_dict.json")
_MAX_ARRAYS = 12
"""More `.npy` files are one image each."""
_ARRAY_SUFFIXES = frozenset({".npy", ".npz"})


def open_source(source: str, scratch: Path) -> Catalogue:
    """List the images of a data set.

    Args:
        source: A folder, an archive, a table, a file of arrays, a Parquet file, or `hf:` and the
            name of a Hugging Face data set.
        scratch: Folder for unpacked and cached files.

    Raises:
        DataError: the source does not exist, is damaged, or contains no images.
    """
    if source.startswith(HUB_PREFIX):
        return read_hub(source)
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, scratch)
    if not path.is_file():
        raise DataError(
            f"{source} is neither a built-in data set nor a file or folder; a data set of the "
            f"Hugging Face hub is written {HUB_PREFIX}OWNER/NAME"
        )
    suffix = get_suffix(path.name)
    if suffix in ARCHIVE_SUFFIXES:
        return _join_archives(strip_archive_suffix(path.name), [path], path.parent, scratch)
    if suffix in TABLE_SUFFIXES:
        catalogue = _open_folder(path.parent, scratch, tables=[path])
        catalogue.name = path.stem
        return catalogue
    if suffix in _ARRAY_SUFFIXES:
        return read_arrays(path.stem, {path.name: path})
    if suffix == ".parquet":
        return read_parquet(path.stem, [path], scratch)
    raise DataError(
        f"{show(path.name)} is not a data set; expected a folder of images, "
        f"{', '.join(sorted({*ARCHIVE_SUFFIXES, *TABLE_SUFFIXES, *_ARRAY_SUFFIXES, '.parquet'}))}"
    )


def _open_folder(folder: Path, scratch: Path, tables: Sequence[Path] | None = None) -> Catalogue:
    name = folder.resolve().name
    if any((folder / file).is_file() for file in _SAVED_FILES):
        return read_saved(folder)
    found = find_files(folder)
    if _has_only_arrays(found):
        files = [*found.images, *(path for path in found.arrays if path.endswith(".npz"))]
        return read_arrays(name, {path: folder / path for path in files})
    if found.images:
        for kind in (found.archives, found.arrays):
            found.ignored.update(f"{get_suffix(path)} files" for path in kind)
        catalogue = Catalogue(name, [FolderFiles(folder, found.images)], ignored=found.ignored)
        _apply_tables(catalogue, tables or [folder / path for path in found.tables], tables)
        return catalogue
    if parquet := [folder / path for path in found.arrays if path.endswith(".parquet")]:
        return read_parquet(name, parquet, scratch)
    if found.archives:
        paths = [folder / path for path in found.archives]
        return _join_archives(name, paths, folder, scratch, found.ignored)
    raise DataError(_describe_empty(folder, found.ignored))


def _has_only_arrays(found: FoundFiles) -> bool:
    """Return whether the folder itself contains a few `.npy` and `.npz` files and no image."""
    arrays = [path for path in found.arrays if path.endswith(".npz")]
    is_flat = all(path.endswith(".npy") and "/" not in path for path in found.images)
    return is_flat and 0 < len(found.images) + len(arrays) <= _MAX_ARRAYS


def _join_archives(
    name: str, paths: Sequence[Path], root: Path, scratch: Path, ignored: Counter[str] | None = None
) -> Catalogue:
    """Return the images of archives, with the archive's path before each name."""
    counts: Counter[str] = Counter() if ignored is None else ignored
    containers: list[Container] = []
    labels: list[str | None] = []
    for path in paths:
        prefix = f"{path.relative_to(root).as_posix()}/" if len(paths) > 1 else ""
        archive = open_archive(path, prefix, counts, scratch)
        containers.append(archive)
        labels += getattr(archive, "labels", None) or [None] * len(archive.names)
    if not labels:
        raise DataError(_describe_empty(paths[0] if len(paths) == 1 else root, counts))
    catalogue = Catalogue(name, containers, ignored=counts)
    if any(label is not None for label in labels):
        catalogue.labels = labels
        catalogue.notes.append("classes: the .cls files of WebDataset shards")
    return catalogue


def _describe_empty(place: Path, ignored: Counter[str]) -> str:
    found = ", ".join(f"{reason} ({count:,})" for reason, count in ignored.most_common(5))
    return (
        f"{place} contains no images at any depth"
        + (f" (found: {found})" if found else " and no other files")
        + "; accepted: PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC, .npy"
    )


def _apply_tables(
    catalogue: Catalogue, paths: Sequence[Path], required: Sequence[Path] | None
) -> None:
    """Take labels and splits from the tables that name the images."""
    tables = []
    for path in paths:
        table = read_table(path, catalogue.names)
        if table is not None and (table.labels or required):
            tables.append(table)
        elif required:
            raise DataError(
                f"No column of {show(path.name)} contains names of the {len(catalogue):,} images "
                f"in {show(str(path.parent))}"
            )
        else:
            catalogue.ignored[f"{get_suffix(path.name)} files"] += 1
    if required and not any(table.labels for table in tables):
        raise DataError(tables[0].note)
    if tables:
        _join_tables(catalogue, tables)


def _join_tables(catalogue: Catalogue, tables: Sequence[Table]) -> None:
    catalogue.labels = [None] * len(catalogue)
    parts: list[Part | None] = [None] * len(catalogue)
    for table in tables:
        part = get_table_part(table.name) if len(tables) > 1 else None
        for index, label in table.labels.items():
            catalogue.labels[index] = label
            parts[index] = part
        for index, given in table.parts.items():
            parts[index] = given
        if table.missing:
            catalogue.ignored[f"rows of {show(table.name)} without an image"] += table.missing
    catalogue.notes += [table.note for table in tables]
    if any(parts):
        catalogue.parts = parts
    elif len(tables) > 1:
        catalogue.notes.append(f"tables: {show_list(table.name for table in tables)}")
