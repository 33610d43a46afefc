"""A folder of pictures as a data set, with a sub-folder for each class or with none.

    FOLDER/<class>/*.png|jpg|jpeg      FOLDER/train/<class>/... and FOLDER/test/<class>/...
    FOLDER/*.png|jpg|jpeg

Files become pixels by `service.artifact.pixels`, so that the service gives a network the very
pixels that it was trained on.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image
from tqdm import tqdm

from service.artifact import ImageSpec
from service.artifact.pixels import to_pixels
from training.data.splits import LabelledImages, Labels, Pixels, Splits, check_count, hold_out
from training.errors import DataError
from training.recipe.schema import DataRecipe

Channels: TypeAlias = Literal[1, 3]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_LARGEST_INFERRED = 64
_SMALLEST_INFERRED = 8
_NAMED_FILES = 5


@dataclass(frozen=True, slots=True)
class _Files:
    """Picture files and their classes' indices."""

    paths: tuple[Path, ...]
    labels: Labels | None

    def take(self, indices: Iterable[int]) -> "_Files":
        chosen = list(indices)
        labels = None if self.labels is None else self.labels[chosen]
        return _Files(tuple(self.paths[index] for index in chosen), labels)


def read_folder(folder: Path, recipe: DataRecipe, seed: int, scratch: Path) -> Splits:
    """Read, divide and decode a folder of pictures.

    Files are divided before they are decoded, so that a set too large for memory never has to be
    copied from one array to another.

    Args:
        folder: The data set.
        recipe: Image size and channels (None: inferred from the files) and the held-out shares.
        seed: The recipe's seed.
        scratch: Where pixels go that would fill over half of the memory.

    Raises:
        DataError: there are no pictures, too few of them, or test classes without training images.
    """
    files, test, classes = _find_files(folder)
    broken: list[str] = []
    sizes = _read_headers([*files.paths, *(test.paths if test else ())])
    image = _choose_image(recipe, list(sizes.values()))
    check_count(len(files.paths), files.labels)
    if test is None:
        kept, held = hold_out(len(files.paths), files.labels, recipe.test_fraction, seed, "test")
        files, test = files.take(kept), files.take(held)
    kept, held = hold_out(
        len(files.paths), files.labels, recipe.validation_fraction, seed, "validation"
    )
    parts = {"train": files.take(kept), "validation": files.take(held), "test": test}
    spare = _count_memory() // 2 - sum(len(part.paths) for part in parts.values()) * _count(image)
    decoded = {
        name: _decode(part, image, None if spare > 0 else scratch / f"{name}.pixels", broken)
        for name, part in parts.items()
    }
    _check_classes(decoded["train"].labels, classes or ())
    notes = (_describe_broken(broken),) if broken else ()
    return Splits(folder.resolve().name, image, classes, **decoded, notes=notes)


def _find_files(folder: Path) -> tuple[_Files, _Files | None, tuple[str, ...] | None]:
    """Return the files to train with, those to test with if they lie apart, and the classes."""
    if not folder.is_dir():
        raise DataError(f"no data set and no folder is called {folder}")
    is_divided = (folder / "train").is_dir() and (folder / "test").is_dir()
    home = folder / "train" if is_divided else folder
    classes = _list_classes(home)
    files = _list_files(home, classes)
    if not files.paths:
        raise DataError(f"{folder} holds no .png, .jpg or .jpeg files, nor do its sub-folders")
    if not is_divided:
        return files, None, classes
    strangers = sorted(set(_list_classes(folder / "test") or ()) - set(classes or ()))
    if strangers:
        raise DataError(f"{folder.name}/test has classes that train lacks: {', '.join(strangers)}")
    test = _list_files(folder / "test", classes)
    if not test.paths:
        raise DataError(f"{folder.name}/test holds no pictures")
    return files, test, classes


def _list_classes(home: Path) -> tuple[str, ...] | None:
    """Return the sub-folders that hold pictures; None for fewer than two, which tell nothing."""
    names = sorted(
        path.name
        for path in home.iterdir()
        if path.is_dir() and not path.name.startswith(".") and _list_pictures(path)
    )
    return tuple(names) if len(names) > 1 else None


def _list_files(home: Path, classes: tuple[str, ...] | None) -> _Files:
    if classes is None:
        alone = [path for path in sorted(home.iterdir()) if path.is_dir()]
        pictures = [_list_pictures(path) for path in (home, *alone)]
        return _Files(tuple(path for paths in pictures for path in paths), None)
    found = [_list_pictures(home / name) for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in found])
    return _Files(tuple(path for paths in found for path in paths), labels)


def _list_pictures(folder: Path) -> list[Path]:
    """Return a folder's pictures in order of name, so that the seed decides the same everywhere."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _read_headers(paths: list[Path]) -> dict[Path, tuple[int, int, bool]]:
    """Return each readable picture's height and width in pixels, and whether it has colour."""
    headers = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                headers[path] = (image.height, image.width, image.mode not in _GREY_MODES)
        except Exception:  # noqa: BLE001, S112 - Pillow raises anything; decoding names the file
            continue
    if not headers:
        raise DataError("none of the pictures can be read")
    return headers


def _choose_image(recipe: DataRecipe, headers: list[tuple[int, int, bool]]) -> ImageSpec:
    """Return the recipe's image, with what it leaves open inferred from the pictures."""
    height, width = (float(np.median([header[side] for header in headers])) for side in (0, 1))
    # Shrunk together, so that the usual picture keeps its aspect.
    shrink = min(1.0, _LARGEST_INFERRED / max(height, width))
    has_color = any(header[2] for header in headers)
    channels: Channels = recipe.channels or (3 if has_color else 1)
    background = recipe.background or (0.0,) * channels
    if len(background) != channels:
        raise DataError(f"data.background: {channels} values are needed, one a channel")
    return ImageSpec(
        channels=channels,
        height=recipe.height or max(round(height * shrink), _SMALLEST_INFERRED),
        width=recipe.width or max(round(width * shrink), _SMALLEST_INFERRED),
        resize=recipe.resize,
        background=background,
    )


def _decode(
    files: _Files, image: ImageSpec, store: Path | None, broken: list[str]
) -> LabelledImages:
    """Decode into memory, or into the file `store`; names of unreadable files go to `broken`."""
    pixels = _allocate((len(files.paths), *image.shape), store)
    readable: list[int] = []
    for index, path in enumerate(tqdm(files.paths, "reading images", leave=False, disable=None)):
        try:
            with Image.open(path) as picture:
                pixels[len(readable)] = to_pixels(picture, image)
            readable.append(index)
        except Exception:  # noqa: BLE001 - Pillow raises whatever a broken file makes it
            broken.append(path.name)
    labels = None if files.labels is None else files.labels[readable]
    _check_readable(len(readable), len(files.paths))
    return LabelledImages(pixels[: len(readable)], labels)


def _check_readable(readable: int, count: int) -> None:
    """Refuse a set of which hardly anything can be read."""
    if 2 * readable < count:
        raise DataError(f"only {readable} of {count} pictures can be read")


def _check_classes(labels: Labels | None, classes: tuple[str, ...]) -> None:
    """Refuse a class whose training pictures are all broken."""
    for index, name in enumerate(classes):
        if labels is None or index not in labels:
            raise DataError(f"none of the pictures of class {name} can be read")


def _allocate(shape: tuple[int, ...], store: Path | None) -> Pixels:
    if store is None:
        return np.empty(shape, np.uint8)
    store.parent.mkdir(parents=True, exist_ok=True)
    return np.memmap(store, np.uint8, "w+", shape=shape)


def _count(image: ImageSpec) -> int:
    return image.channels * image.height * image.width


def _count_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _describe_broken(names: list[str]) -> str:
    named = ", ".join(names[:_NAMED_FILES]) + (", ..." if len(names) > _NAMED_FILES else "")
    return f"skipped {len(names)} unreadable pictures: {named}"
