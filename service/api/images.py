"""Images in: from what a client sends to float32 NCHW arrays in [0, 1].

A picture is opened first, which reads only its header and lets its size be checked, and decoded
later, where the work runs.
"""

import base64
import binascii
import io
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.api.limits import Limits
from service.artifact import ImageSpec
from service.artifact.latents import Floats
from service.artifact.pixels import Invert, has_light_border, to_pixels
from service.errors import Flaw, InvalidInputError, MalformedInputError, UnsupportedFormatError

Item: TypeAlias = Image.Image | NDArray[np.float64]
"""One image as a client sent it: an opened picture, or numbers of (H, W) or (C, H, W)."""

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_OTHER_FORMATS = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "TIFF": (0, b"II*\x00"),
    "TIFF ": (0, b"MM\x00*"),
    "WebP": (8, b"WEBP"),
    "HEIF or AVIF": (4, b"ftyp"),
    "JPEG 2000": (4, b"jP  "),
    "ICO": (0, b"\x00\x00\x01\x00"),
    "PSD": (0, b"8BPS"),
    "PostScript": (0, b"%!PS"),
    "PDF": (0, b"%PDF"),
    "SVG": (0, b"<svg"),
    "XML": (0, b"<?xml"),
    "FITS": (0, b"SIMPLE"),
}
_MAX_DEPTH = 8

# Pillow only warns of pictures that are large, and says of huge ones that they cannot be opened;
# `check_pixels` refuses both, from their headers, and names the limit.
Image.MAX_IMAGE_PIXELS = None


def open_picture(content: bytes) -> Image.Image:
    """Open a PNG or JPEG file, told by its first bytes; nothing is decoded yet.

    Raises:
        MalformedInputError: the file is broken.
        UnsupportedFormatError: the file is of another format.
    """
    format_ = next((name for head, name in _SIGNATURES.items() if content.startswith(head)), None)
    if format_ is None:
        for name, (offset, mark) in _OTHER_FORMATS.items():
            if content[offset : offset + len(mark)] == mark:
                raise UnsupportedFormatError(f"a {name.strip()} file; PNG and JPEG are read")
        raise MalformedInputError("the content is no PNG or JPEG file")
    try:
        return Image.open(io.BytesIO(content), formats=[format_])
    except Exception as error:
        raise MalformedInputError(f"the {format_} file is broken") from error


def open_base64(text: str) -> Image.Image:
    """Open a picture given as base64, or as a `data:` URL of base64.

    Raises:
        MalformedInputError: the text is no base64, or no picture.
        UnsupportedFormatError: the picture is of another format.
    """
    head, separator, rest = text.partition(",")
    encoded = rest if separator and head.startswith("data:") else text
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInputError("the text is no base64; URLs are not fetched") from error
    return open_picture(content)


def check_pixels(items: Iterable[Item], limits: Limits) -> int:
    """Return the pixels of all opened pictures, which must be within the limit."""
    pixels = sum(item.width * item.height for item in items if isinstance(item, Image.Image))
    limits.check("pixels", pixels)
    return pixels


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
            raise InvalidInputError(Flaw(pointer, "lists must be even, not empty and not deep"))
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not {type(part) for part in level} <= {int, float}:
        raise InvalidInputError(Flaw(pointer, "only numbers in lists of equal length are taken"))
    try:
        return np.array(level, dtype=np.float64).reshape(shape)
    except OverflowError as error:
        raise InvalidInputError(Flaw(pointer, "a number is too large")) from error


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
            batch[index] = _decode(item, spec, invert, pointer if in_json else None)
            batch[index] /= 255
    return batch


def _decode(
    picture: Image.Image, spec: ImageSpec, invert: Invert, pointer: str | None
) -> NDArray[np.uint8]:
    try:
        return to_pixels(picture, spec, invert)
    except Exception as error:
        detail = "the picture is truncated or broken"
        if pointer is not None:
            raise InvalidInputError(Flaw(pointer, detail)) from error
        raise MalformedInputError(detail) from error


def _check_array(
    array: NDArray[np.generic], spec: ImageSpec, invert: Invert, pointer: str
) -> Floats:
    batch = _add_axes(array, spec)
    if batch.shape[1:] != spec.shape or not len(batch):
        wanted = " x ".join(str(size) for size in spec.shape)
        found = " x ".join(str(size) for size in array.shape)
        raise InvalidInputError(Flaw(pointer, f"images of {wanted} are wanted, got {found}"))
    if batch.dtype == np.uint8:
        floats = batch.astype(np.float32) / np.float32(255)
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
        raise InvalidInputError(Flaw(pointer, "numbers must be finite; there is NaN or infinity"))
    hint = ""
    if low >= 0 and (batch == np.rint(batch)).all():
        hint = "; for whole numbers up to 255 divide by 255, or send a uint8 .npy"
    raise InvalidInputError(
        Flaw(pointer, f"numbers must be in [0, 1], they are in [{low:g}, {high:g}]{hint}")
    )


def _invert(batch: Floats, invert: Invert) -> Floats:
    if invert == "true":
        return 1 - batch
    if invert == "auto":
        return np.stack([1 - image if has_light_border(image) else image for image in batch])
    return batch
