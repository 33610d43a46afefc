"""Images in: from pictures and numbers that a client sends to float32 NCHW arrays in [0, 1]."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.artifact import ImageSpec
from service.artifact.pixels import Invert, has_light_border
from service.artifact.tensor_files import Floats
from service.codecs.image_files import Picture
from service.errors import InvalidInputError, Violation

Item: TypeAlias = Picture | NDArray[np.float64]
"""One image as a client sent it: an opened picture, or numbers of (H, W) or (C, H, W)."""

_MAX_DEPTH = 8
_WHITE = np.float32(255)


def read_numbers(nested: object, pointer: str) -> NDArray[np.float64]:
    """Return nested lists of numbers as an array; their lengths must agree.

    Raises:
        InvalidInputError: ragged, empty or too deep lists, or anything that is no number.
    """
    level: list[Any] = [nested]
    shape: list[int] = []
    while {type(part) for part in level} == {list}:
        lengths = {len(part) for part in level}
        if len(lengths) != 1 or len(shape) == _MAX_DEPTH or 0 in lengths:
            raise InvalidInputError(
                Violation(pointer, "lists must be even, not empty and not deep")
            )
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not {type(part) for part in level} <= {int, float}:
        raise InvalidInputError(
            Violation(pointer, "only numbers in lists of equal length are taken")
        )
    try:
        return np.array(level, dtype=np.float64).reshape(shape)
    except OverflowError as error:
        raise InvalidInputError(Violation(pointer, "a number is too large")) from error


def to_batch(
    images: Sequence[Item] | NDArray[np.generic],
    spec: ImageSpec,
    invert: Invert,
    *,
    in_json: bool = False,
) -> Floats:
    """Turn a request's images into a batch.

    Pictures are converted to the bundle's channels and size; numbers must have its shape.

    Args:
        images: Opened pictures and arrays of (H, W) or (C, H, W), in any mix; or one array of
            (N, C, H, W), (N, H, W) or (H, W), uint8 or floating.
        spec: The bundle's images.
        invert: Whether dark-on-light becomes light-on-dark.
        in_json: Whether the pictures came inside JSON, which is whole where a picture is not.

    Returns:
        (N, C, H, W) float32 in [0, 1].

    Raises:
        InvalidInputError: a wrong shape or range, NaN or infinity; says what was wanted. Or, in
            JSON, a picture that is broken further on.
        MalformedInputError: such a picture elsewhere.
    """
    if isinstance(images, np.ndarray):
        return _check_array(images, spec, invert, "/images")
    batch = np.empty((len(images), *spec.shape), dtype=np.float32)
    for index, item in enumerate(images):
        pointer = f"/images/{index}"
        if isinstance(item, np.ndarray):
            batch[index] = _check_array(item[None], spec, invert, pointer)[0]
        else:
            pixels = item.to_pixels(spec, invert, pointer if in_json else None)
            batch[index] = pixels
            batch[index] /= _WHITE
    return batch


def _check_array(
    array: NDArray[np.generic], spec: ImageSpec, invert: Invert, pointer: str
) -> Floats:
    batch = _add_axes(array, spec)
    if batch.shape[1:] != spec.shape or not len(batch):
        wanted = " x ".join(str(size) for size in spec.shape)
        found = " x ".join(str(size) for size in array.shape)
        raise InvalidInputError(Violation(pointer, f"images of {wanted} are wanted, got {found}"))
    if batch.dtype == np.uint8:
        floats = batch.astype(np.float32) / _WHITE
    else:
        _check_range(batch, pointer)
        floats = batch.astype(np.float32, copy=False)
    return np.ascontiguousarray(_invert(floats, invert))


def _add_axes(array: NDArray[np.generic], spec: ImageSpec) -> NDArray[np.generic]:
    """Give (H, W) a batch axis, and (N, H, W) a channel axis where there is one channel."""
    rank = len(spec.shape)
    if array.ndim == rank - 1:
        array = array[None]
    if array.ndim == rank and spec.channels == 1:
        array = array[:, None]
    return array


def _check_range(batch: NDArray[np.generic], pointer: str) -> None:
    low, high = batch.min(), batch.max()
    if low >= 0 and high <= 1:
        return
    if not np.isfinite(batch).all():
        raise InvalidInputError(
            Violation(pointer, "numbers must be finite; there is NaN or infinity")
        )
    hint = ""
    if low >= 0 and (batch == np.rint(batch)).all():
        hint = "; for whole numbers up to 255 divide by 255, or send a uint8 .npy"
    raise InvalidInputError(
        Violation(pointer, f"numbers must be in [0, 1], they are in [{low:g}, {high:g}]{hint}")
    )


def _invert(batch: Floats, invert: Invert) -> Floats:
    if invert == "true":
        return 1 - batch
    if invert == "auto":
        return np.stack([1 - image if has_light_border(image) else image for image in batch])
    return batch
