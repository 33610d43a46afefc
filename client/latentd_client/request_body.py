"""Request bodies from what users pass: image files unchanged, PIL images as PNG, arrays as .npy."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from latentd_client.pil_images import to_file

Array: TypeAlias = NDArray[np.generic]
ImageFile: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image
"""One image of any size: the path of a file, the bytes of a file, or a PIL image."""
ImageInput: TypeAlias = ImageFile | Array | Sequence[ImageFile] | Sequence[Array]
"""One or more images.

Files are sent unchanged and PIL images as PNG; the service converts them to the model's size and
channels. Arrays must have the model's shape, (N, C, H, W), (N, H, W) or (H, W), as floats in
[0, 1] or uint8; in a sequence of arrays each one is an image of (C, H, W) or (H, W).
"""
EndsInput: TypeAlias = Sequence[ImageFile] | Sequence[Array] | Array | Sequence[Sequence[float]]
"""Two images, or two latents as (2, L) numbers."""

NPY = "application/x-npy"

_ACCEPTED = (
    "a path (str or Path), the bytes of an image file, a PIL image, a NumPy array of numbers, "
    "a sequence of paths, bytes and PIL images, or a sequence of arrays"
)
_FILE_TYPES = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_NUMERIC_KINDS = "biuf"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: raw content with its media type, or files for a multipart form."""

    content: bytes | None = None
    media_type: str | None = None
    files: list[tuple[str, tuple[str, bytes]]] | None = None
    """Field name, then file name and content, as httpx expects them."""


def pack_images(images: ImageInput) -> Body:
    """Return the body for one or more images.

    Raises:
        OSError: a path cannot be read.
        TypeError: `images`, or one of them, is of a type that is not accepted.
        ValueError: the sequence is empty, or its arrays differ in shape.
    """
    if isinstance(images, np.ndarray):
        return _pack_array(images)
    if isinstance(images, _FILE_TYPES):
        return _pack_files([images])
    if not isinstance(images, Sequence):
        raise _make_type_error(images)
    if not images:
        raise ValueError(f"Expected at least one image, got an empty {type(images).__name__}.")
    arrays = [image for image in images if isinstance(image, np.ndarray)]
    if len(arrays) == len(images):
        return _pack_array(np.stack(arrays))
    return _pack_files(images)


def pack_latents(latents: ArrayLike) -> Body:
    """Return the body for latents (N, L) or (L,)."""
    return _pack_array(np.atleast_2d(np.asarray(latents, np.float32)))


def pack_ends(ends: EndsInput) -> Body:
    """Return the body for two images or two latents.

    Raises:
        As `pack_images`, and ValueError if there are not two.
    """
    if isinstance(ends, _FILE_TYPES) or not isinstance(ends, Sequence | np.ndarray):
        raise TypeError(f"Expected two images or two latents, got {type(ends).__name__}.")
    if len(ends) != 2:  # noqa: PLR2004 - a line has two ends
        raise ValueError(f"Expected two images or two latents, got {len(ends)}.")
    latents = [
        np.asarray(end)
        for end in ends
        if isinstance(end, list | tuple | np.ndarray) and np.ndim(end) == 1
    ]
    if len(latents) == len(ends):
        return pack_latents(latents)
    return pack_images(cast("ImageInput", ends))


def pack_nothing(_: None) -> Body:
    """Return the empty body of an operation that has parameters only."""
    return Body()


def _pack_array(array: Array) -> Body:
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise TypeError(f"Expected {_ACCEPTED}; got an array of {array.dtype}.")
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return Body(stream.getvalue(), NPY)


def _pack_files(images: Sequence[Any]) -> Body:
    """Return one PNG or JPEG file as raw content, anything else as a multipart form.

    The service determines the format of a form's files, and lists the formats that it accepts.
    """
    contents = [_read_file(image) for image in images]
    if len(contents) == 1:
        for signature, media_type in _SIGNATURES.items():
            if contents[0].startswith(signature):
                return Body(contents[0], media_type)
    return Body(files=[("images", ("image", content)) for content in contents])


def _read_file(image: object) -> bytes:
    if isinstance(image, Image.Image):
        return to_file(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    raise _make_type_error(image)


def _make_type_error(image: object) -> TypeError:
    return TypeError(f"Expected {_ACCEPTED}; got {type(image).__name__}.")
