"""NumPy arrays of images and labels: `.npy` and `.npz` files.

N images of H x W pixels with C channels: (N, H, W), (N, H, W, C), (N, C, H, W), or flat rows
(N, H * W) of square images.
"""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.sources.catalogue import Catalogue, Part
from training.data.sources.names import find_part, show
from training.errors import DataError

Array: TypeAlias = NDArray[Any]

_CHANNELS = (1, 3, 4)
_WHITE = 255
_BLOCK = 256
"""Images whose range is measured at once."""


class ArrayImages:
    """Images of one array."""

    def __init__(self, name: str, images: Array) -> None:
        """Find the layout and the range of values of an array.

        Raises:
            DataError: the array has another shape or type, NaN or infinity.
        """
        self._images = _find_layout(name, images)
        self._low, self._high = _find_range(name, self._images)
        self.names = [f"{name}[{index}]" for index in range(len(images))]
        self.note = (
            None
            if (self._low, self._high) in {(0, 1), (0, _WHITE), (0, 0)}
            or self._images.dtype == np.uint16
            else f"values of {show(name)} from {self._low:g} to {self._high:g} become 0 to 255"
        )

    def read(self, index: int) -> Image.Image:
        """Return an image with 8 bits per channel; of uint16 with 16 bits."""
        image = np.asarray(self._images[index])
        if image.dtype == np.uint16 and self._high > _WHITE:
            return to_image(image)
        scale = self._high - self._low
        levels = (image.astype(np.float64) - self._low) * (_WHITE / scale if scale else 0)
        return to_image(np.rint(levels.clip(0, _WHITE)).astype(np.uint8))


def read_arrays(name: str, files: Mapping[str, Path]) -> Catalogue:
    """Return the images of `.npy` and `.npz` files, with their labels and splits.

    An array with two or more axes contains images, and one with N values their labels. Words in
    the names select the split, as in `x_train` or `test_images`.

    Raises:
        DataError: no array contains images, or labels and images differ in number.
    """
    arrays = {key: array for path in files.values() for key, array in _load(path).items()}
    images: dict[Part | None, ArrayImages] = {}
    labels: dict[Part | None, Array] = {}
    for key, array in arrays.items():
        part = find_part(key)
        if _is_labels(array):
            labels[part] = array.reshape(-1)
        elif part in images:
            raise DataError(
                f"{show(name)} has two arrays of images, {show(key)} and another; keep one of them"
            )
        else:
            images[part] = ArrayImages(key, array)
    if not images:
        kinds = ", ".join(f"{show(key)} {array.shape}" for key, array in arrays.items())
        raise DataError(f"{show(name)} contains no array of images: {kinds or 'no arrays'}")
    return Catalogue(
        name,
        [*images.values()],
        labels=_join_labels(name, images, labels),
        parts=[part for part, group in images.items() for _ in group.names],
        notes=[group.note for group in images.values() if group.note],
    )


def to_image(array: Array) -> Image.Image:
    """Return one array (H, W) or (H, W, C) or (C, H, W) as an image.

    Args:
        array: bool, uint8, uint16 (H, W), or floats in [0, 1].

    Raises:
        ValueError: another shape, type or range.
    """
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:  # noqa: PLR2004
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:  # noqa: PLR2004
        array = array[..., 0]
    if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        array = np.rint(array * _WHITE).astype(np.uint8)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(_WHITE)
    is_deep = array.dtype == np.uint16 and array.ndim == 2  # noqa: PLR2004
    if not array.size or (array.dtype != np.uint8 and not is_deep):
        raise ValueError(f"an array of {array.dtype} {array.shape} is not an image")
    return Image.fromarray(np.ascontiguousarray(array))


def _load(path: Path) -> dict[str, Array]:
    try:
        if path.suffix.lower() == ".npy":
            return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False)}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).split(";")[0].split(". ")[0]
        raise DataError(
            f"{show(path.name)} cannot be read: {reason}; expected arrays of numbers"
        ) from error


def _is_labels(array: Array) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)  # noqa: PLR2004


def _join_labels(
    name: str, images: Mapping[Part | None, ArrayImages], labels: Mapping[Part | None, Array]
) -> list[str | None] | None:
    if not labels:
        return [None] * sum(len(group.names) for group in images.values())
    joined: list[str | None] = []
    for part, group in images.items():
        values = labels.get(part)
        if values is None:
            joined += [None] * len(group.names)
        elif len(values) != len(group.names):
            raise DataError(
                f"{show(name)}: {len(group.names)} images{f' of {part}' if part else ''} have "
                f"{len(values)} labels"
            )
        else:
            joined += [_to_text(value) for value in values]
    return joined


def _to_text(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.removesuffix(".0")


def _find_layout(name: str, images: Array) -> Array:
    """Return a view (N, H, W) or (N, H, W, C)."""
    shape = images.shape
    if images.dtype.kind not in "buif":
        raise DataError(f"{show(name)} has the type {images.dtype}; expected numbers")
    if images.ndim == 3:  # noqa: PLR2004
        return images
    if images.ndim == 4 and shape[3] in _CHANNELS:  # noqa: PLR2004
        return images
    if images.ndim == 4 and shape[1] in _CHANNELS:  # noqa: PLR2004
        return images.transpose(0, 2, 3, 1)
    if images.ndim == 2:  # noqa: PLR2004
        for channels in (1, 3):
            side = math.isqrt(shape[1] // channels)
            if channels * side * side == shape[1]:
                planes = images.reshape(shape[0], channels, side, side)
                return planes.transpose(0, 2, 3, 1)
    raise DataError(
        f"{show(name)} has the shape {shape}; expected images of shape (N, H, W), (N, H, W, C) or "
        "(N, C, H, W) with 1, 3 or 4 channels"
    )


def _find_range(name: str, images: Array) -> tuple[float, float]:
    """Return the values that become 0 and 255."""
    if images.dtype == bool or not len(images):
        return 0, 1
    low, high = np.inf, -np.inf
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if not math.isfinite(low + high):
        raise DataError(f"{show(name)} contains NaN or infinity; replace them by numbers")
    if low >= 0 and high <= 1:
        return 0, 1
    if low >= 0 and high <= _WHITE:
        return 0, _WHITE
    return low, high
