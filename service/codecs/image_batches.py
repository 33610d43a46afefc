"""Images of a request to one batch: float32 NCHW in [0, 1]."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.artifact import ImageSpec
from service.artifact.image_files import ImageFile
from service.artifact.levels import to_light_on_dark
from service.artifact.pixels import Invert, to_pixels
from service.artifact.tensor_files import Floats
from service.errors import InvalidInputError, MalformedInputError, Violation
from service.http.memory import UNCOUNTED_BYTES, DecodingMemory
from service.inference.yielding import yield_to_loop

Item: TypeAlias = ImageFile | NDArray[np.float64]
"""One image of a request: an opened file, or numbers of shape (H, W) or (C, H, W)."""

_MAX_DEPTH = 8
_PART_NUMBERS = 50_000
_ROUNDING = 1e-6
"""Numbers outside [0, 1] by no more than this are clipped."""
_WHITE = np.float32(255)


def read_numbers(nested: object, pointer: str) -> NDArray[np.float64]:
    """Convert nested lists of numbers of equal length into an array.

    Raises:
        InvalidInputError: unequal, empty or too deep lists, or a value that is not a number.
    """
    level: list[Any] = [nested]
    shape: list[int] = []
    while {type(part) for part in level} == {list}:
        lengths = {len(part) for part in level}
        if len(lengths) != 1 or len(shape) == _MAX_DEPTH or 0 in lengths:
            detail = f"Expected non-empty lists of equal length, at most {_MAX_DEPTH} deep."
            raise InvalidInputError(Violation(pointer, detail))
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not {type(part) for part in level} <= {int, float}:
        raise InvalidInputError(
            Violation(pointer, "Expected only numbers in lists of equal length.")
        )
    try:
        return _to_array(level).reshape(shape)
    except OverflowError as error:
        raise InvalidInputError(Violation(pointer, "A number is too large for float64.")) from error


def _to_array(numbers: list[float]) -> NDArray[np.float64]:
    """Convert numbers in parts: NumPy holds the interpreter's lock, 30 ms for a million."""
    array = np.empty(len(numbers))
    for start in range(0, len(numbers), _PART_NUMBERS):
        array[start : start + _PART_NUMBERS] = numbers[start : start + _PART_NUMBERS]
        yield_to_loop()
    return array


def to_batch(
    images: Sequence[Item] | NDArray[np.generic],
    spec: ImageSpec,
    invert: Invert,
    *,
    in_json: bool = False,
    decoding: DecodingMemory | None = None,
) -> Floats:
    """Convert the images of a request into a batch.

    Image files are converted to the bundle's channels and size; numbers must have its shape.

    Args:
        images: Opened files and arrays of (H, W) or (C, H, W), in any mix; or one array of
            (N, C, H, W), (N, H, W) or (H, W): floats, booleans, or integers of 0 to 255.
        spec: The bundle's images.
        invert: Whether dark-on-light becomes light-on-dark.
        in_json: Whether the files came inside JSON, which is valid where a file is not.
        decoding: Memory in which files are decoded, one after the other; None for no bound.

    Returns:
        (N, C, H, W) float32 in [0, 1].

    Raises:
        InvalidInputError: wrong shape or range, NaN or infinity; or a damaged file in JSON.
        MalformedInputError: a damaged file outside JSON.
    """
    if isinstance(images, np.ndarray):
        return _convert_array(images, spec, invert, "/images")
    batch = np.empty((len(images), *spec.shape), dtype=np.float32)
    for index, item in enumerate(images):
        yield_to_loop()
        if isinstance(item, np.ndarray):
            batch[index] = _convert_array(item[None], spec, invert, f"/images/{index}")[0]
            continue
        try:
            memory = item.memory
            is_counted = decoding and memory > UNCOUNTED_BYTES
            with decoding.hold(memory) if decoding and is_counted else nullcontext():
                batch[index] = to_pixels(item.decode_upright(), spec, invert)
        except MemoryError:  # not the file's fault
            raise
        except Exception as error:
            detail = "The image file is truncated or damaged."
            if in_json:
                raise InvalidInputError(Violation(f"/images/{index}", detail)) from error
            raise MalformedInputError(detail) from error
        batch[index] /= _WHITE
    return batch


def _convert_array(
    array: NDArray[np.generic], spec: ImageSpec, invert: Invert, pointer: str
) -> Floats:
    batch = _add_axes(array, spec)
    if batch.shape[1:] != spec.shape or not len(batch):
        expected = ", ".join(str(size) for size in spec.shape)
        detail = f"Expected images of shape (N, {expected}), got {array.shape}."
        raise InvalidInputError(Violation(pointer, detail))
    if batch.dtype.kind == "f":
        is_rounded = _check_range(batch, pointer)
        floats = batch.astype(np.float32, copy=False)
        floats = floats.clip(0, 1) if is_rounded else floats
    elif batch.dtype.kind == "b":
        floats = batch.astype(np.float32)
    else:
        _check_levels(batch, pointer)
        floats = batch.astype(np.float32) / _WHITE
    return np.ascontiguousarray(_invert(floats, invert))


def _add_axes(array: NDArray[np.generic], spec: ImageSpec) -> NDArray[np.generic]:
    """Add a batch axis to (H, W), and a channel axis to (N, H, W) if there is one channel."""
    rank = len(spec.shape)
    if array.ndim == rank - 1:
        array = array[None]
    if array.ndim == rank and spec.channels == 1:
        array = array[:, None]
    return array


def _check_range(batch: NDArray[np.generic], pointer: str) -> bool:
    """Check floats; return whether rounding put one outside [0, 1]."""
    low, high = batch.min(), batch.max()
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return bool(low < 0 or high > 1)
    if not np.isfinite(batch).all():
        raise InvalidInputError(Violation(pointer, "Expected finite numbers, got NaN or infinity."))
    hint = ""
    if low >= 0 and (batch == np.rint(batch)).all():
        hint = " Divide integers up to 255 by 255, or send a uint8 .npy array."
    detail = f"Expected numbers in [0, 1], got [{low:g}, {high:g}].{hint}"
    raise InvalidInputError(Violation(pointer, detail))


def _check_levels(batch: NDArray[np.generic], pointer: str) -> None:
    """Check integers; only in uint8 a maximum of 1 is certainly a level and not white."""
    if batch.dtype == np.uint8:
        return
    low, high = batch.min(), batch.max()
    if low < 0 or high > _WHITE:
        detail = f"Expected integers from 0 to 255, got [{low}, {high}]."
        raise InvalidInputError(Violation(pointer, detail))
    if high == 1:
        detail = f"{batch.dtype} of 0 and 1 is ambiguous: send bool, or floats in [0, 1], or uint8."
        raise InvalidInputError(Violation(pointer, detail))


def _invert(batch: Floats, invert: Invert) -> Floats:
    if invert == "true":
        return 1 - batch
    if invert == "auto":
        return np.stack([to_light_on_dark(image) for image in batch])
    return batch
