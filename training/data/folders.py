"""A folder of image files as a data set, with one sub-folder per class or without classes.

    FOLDER/<class>/*.png|jpg|jpeg      FOLDER/train/<class>/... and FOLDER/test/<class>/...
    FOLDER/*.png|jpg|jpeg

`service.artifact` reads files and converts them into pixels, so that a network receives the same
pixels in training and in the service.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from tqdm import tqdm

from service.artifact import ImageSpec
from service.artifact.image_files import ALL_FORMATS, open_image
from service.artifact.pixels import to_pixels
from training.data.splits import LabelledImages, Labels, Pixels, Splits, check_count, hold_out
from training.errors import DataError
from training.recipe.schema import DataRecipe

Channels: TypeAlias = Literal[1, 3]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_MAX_INFERRED_SIDE = 64
_MIN_INFERRED_SIDE = 8
_NAMED_FILES = 5


@dataclass(frozen=True, slots=True)
class _Files:
    """Image files and their class indices."""

    paths: tuple[Path, ...]
    labels: Labels | None

    def take(self, indices: Iterable[int]) -> "_Files":
        selected = list(indices)
        labels = None if self.labels is None else self.labels[selected]
        return _Files(tuple(self.paths[index] for index in selected), labels)


class _Header(NamedTuple):
    height: int
    width: int
    has_color: bool


def read_folder(folder: Path, recipe: DataRecipe, seed: int, scratch: Path) -> Splits:
    """Read, split and decode a folder of images.

    Files are split before they are decoded, so that a data set larger than memory is never copied
    between arrays.

    Args:
        folder: The data set.
        recipe: Image size and channels (None: inferred from the files) and the held-out shares.
        seed: The recipe's seed.
        scratch: Folder for pixels that would fill more than half of the memory.

    Raises:
        DataError: there are too few images, or a test class is missing from the training images.
    """
    files, test, classes = _find_files(folder)
    broken: list[str] = []
    image = _choose_image(recipe, _read_headers([*files.paths, *(test.paths if test else ())]))
    check_count(len(files.paths), files.labels)
    if test is None:
        kept, held = hold_out(len(files.paths), files.labels, recipe.test_fraction, seed, "test")
        files, test = files.take(kept), files.take(held)
    kept, held = hold_out(
        len(files.paths), files.labels, recipe.validation_fraction, seed, "validation"
    )
    parts = {"train": files.take(kept), "validation": files.take(held), "test": test}
    size = sum(len(part.paths) for part in parts.values()) * int(np.prod(image.shape))
    fits_in_memory = size < _count_memory() // 2
    decoded = {
        name: _decode(part, image, None if fits_in_memory else scratch / f"{name}.pixels", broken)
        for name, part in parts.items()
    }
    _check_classes(decoded["train"].labels, classes or ())
    notes = (_describe_broken(broken),) if broken else ()
    return Splits(folder.resolve().name, image, classes, **decoded, notes=notes)


def _find_files(folder: Path) -> tuple[_Files, _Files | None, tuple[str, ...] | None]:
    """Return the training files, the files of a separate test split if any, and the classes."""
    if not folder.is_dir():
        raise DataError(f"{folder} is neither a built-in data set nor a folder")
    is_split = (folder / "train").is_dir() and (folder / "test").is_dir()
    home = folder / "train" if is_split else folder
    classes = _list_classes(home)
    files = _list_files(home, classes)
    if not files.paths:
        raise DataError(f"{folder} and its sub-folders contain 0 .png, .jpg or .jpeg files")
    if not is_split:
        return files, None, classes
    unknown = sorted(set(_list_classes(folder / "test") or ()) - set(classes or ()))
    if unknown:
        raise DataError(
            f"{folder.name}/test has classes without training images: {', '.join(unknown)}"
        )
    test = _list_files(folder / "test", classes)
    if not test.paths:
        raise DataError(f"{folder.name}/test contains 0 images")
    return files, test, classes


def _list_classes(home: Path) -> tuple[str, ...] | None:
    """Return the names of sub-folders with images; None if there are fewer than two."""
    names = sorted(
        path.name
        for path in home.iterdir()
        if path.is_dir() and not path.name.startswith(".") and _list_images(path)
    )
    return tuple(names) if len(names) > 1 else None


def _list_files(home: Path, classes: tuple[str, ...] | None) -> _Files:
    if classes is None:
        folders = [home, *(path for path in sorted(home.iterdir()) if path.is_dir())]
        return _Files(tuple(path for folder in folders for path in _list_images(folder)), None)
    by_class = [_list_images(home / name) for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in by_class])
    return _Files(tuple(path for paths in by_class for path in paths), labels)


def _list_images(folder: Path) -> list[Path]:
    """Return a folder's image files sorted by name, which makes splits reproducible."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _read_headers(paths: list[Path]) -> list[_Header]:
    """Return the header of each readable file."""
    headers = []
    for path in paths:
        try:
            file = open_image(path.read_bytes(), ALL_FORMATS)
            headers.append(_Header(file.height, file.width, file.has_color))
        except Exception:  # noqa: BLE001, S112 - Pillow raises any type; decoding names the file
            continue
    if not headers:
        raise DataError(f"All {len(paths)} images are unreadable")
    return headers


def _choose_image(recipe: DataRecipe, headers: list[_Header]) -> ImageSpec:
    """Return the recipe's image spec, with unset members inferred from the files."""
    height = float(np.median([header.height for header in headers]))
    width = float(np.median([header.width for header in headers]))
    scale = min(1.0, _MAX_INFERRED_SIDE / max(height, width))  # preserves the aspect ratio
    has_color = any(header.has_color for header in headers)
    channels: Channels = recipe.channels or (3 if has_color else 1)
    background = recipe.background or (0.0,) * channels
    if len(background) != channels:
        raise DataError(
            f"data.background: expected {channels} values (one per channel), got {len(background)}"
        )
    return ImageSpec(
        channels=channels,
        height=recipe.height or max(round(height * scale), _MIN_INFERRED_SIDE),
        width=recipe.width or max(round(width * scale), _MIN_INFERRED_SIDE),
        resize=recipe.resize,
        background=background,
    )


def _decode(
    files: _Files, image: ImageSpec, store: Path | None, broken: list[str]
) -> LabelledImages:
    """Decode into memory, or into the file `store`. Append names of unreadable files to `broken`.

    Raises:
        DataError: more than half of the files are unreadable.
    """
    count = len(files.paths)
    pixels = _allocate((count, *image.shape), store)
    readable: list[int] = []
    for index, path in enumerate(tqdm(files.paths, "reading images", leave=False, disable=None)):
        try:
            file = open_image(path.read_bytes(), ALL_FORMATS)
            pixels[len(readable)] = to_pixels(file.decode_upright(), image)
            readable.append(index)
        except Exception:  # noqa: BLE001 - Pillow raises any type for a broken file
            broken.append(path.name)
    if 2 * len(readable) < count:
        raise DataError(f"Only {len(readable)} of {count} images are readable")
    labels = None if files.labels is None else files.labels[readable]
    return LabelledImages(pixels[: len(readable)], labels)


def _check_classes(labels: Labels | None, classes: tuple[str, ...]) -> None:
    """Reject a class without a readable training image."""
    for index, name in enumerate(classes):
        if labels is None or index not in labels:
            raise DataError(f"All training images of class {name} are unreadable")


def _allocate(shape: tuple[int, ...], store: Path | None) -> Pixels:
    if store is None:
        return np.empty(shape, np.uint8)
    store.parent.mkdir(parents=True, exist_ok=True)
    return np.memmap(store, np.uint8, "w+", shape=shape)


def _count_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _describe_broken(names: list[str]) -> str:
    named = ", ".join(names[:_NAMED_FILES]) + (", ..." if len(names) > _NAMED_FILES else "")
    return f"skipped {len(names)} unreadable images: {named}"
