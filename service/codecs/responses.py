"""Arrays to responses: content negotiation, JSON, PNG files and grids, .npy arrays."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import mimeparse
import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from service.artifact.tensor_files import Floats
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.npy import write_npy
from service.errors import NotAcceptableError
from service.inference.yielding import yield_to_loop

Encoding: TypeAlias = Annotated[
    Literal["png", "array"],
    Field(description="Images in a JSON response: base64 PNG files or nested C x H x W floats."),
]
JSON = "application/json"
PNG = "image/png"
JSON_ONLY = (JSON,)
IMAGE_TYPES = (JSON, PNG, NPY)
TENSOR_TYPES = (JSON, NPY)

_PART_VALUES = 20_000
_GRID_GAP = 2
_PNG_LEVEL = 1  # images this small compress about as well as at the default, in half the time


def negotiate(accept: str, offered: Sequence[str]) -> str:
    """Return the media type of a response (content negotiation, RFC 9110, section 12.5.1).

    Args:
        accept: The `Accept` header; empty without one.
        offered: The media types that are possible, the default first.

    Raises:
        NotAcceptableError: none of them is acceptable.
    """
    if accept in {"", "*/*", offered[0]} or not accept.strip(" ,"):
        return offered[0]
    try:
        # Of equally acceptable types `best_match` returns the last.
        best = mimeparse.best_match(list(reversed(offered)), accept.lower())
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise NotAcceptableError(
            f"No offered media type is acceptable ({accept!r:.80}); offered: {', '.join(offered)}."
        )
    return str(best)


def to_json_parts(array: NDArray[np.generic]) -> NDArray[np.generic] | orjson.Fragment:
    """Return an array, or its JSON if it is long.

    orjson holds the interpreter's lock for a whole call, about 60 ms for 800,000 numbers; between
    the parts the event loop runs.
    """
    if array.size <= _PART_VALUES:
        return array
    rows = max(1, _PART_VALUES * len(array) // array.size)
    parts = []
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        parts.append(orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
        yield_to_loop()
    return orjson.Fragment(b"".join([b"[", b",".join(parts), b"]"]))


def respond_json(content: object) -> Response:
    """Return a JSON response; arrays in `content` become nested lists."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


def respond_npy(array: Floats) -> Response:
    """Return a response with a float32 .npy array."""
    return Response(write_npy(array.astype("<f4", copy=False)), media_type=NPY)


def respond_images(
    images: Floats, media_type: str, encoding: Encoding, members: dict[str, object] | None = None
) -> Response:
    """Return a response with images (N, C, H, W) in [0, 1].

    Args:
        images: The images.
        media_type: Its media type; PNG gives one image, or a grid of several.
        encoding: The form of images in JSON.
        members: Further members of a JSON response.
    """
    if media_type == NPY:
        return respond_npy(images)
    if media_type == PNG:
        return Response(write_png(_arrange_grid(images)), media_type=PNG)
    return respond_json({"images": encode_images(images, encoding), **(members or {})})


def encode_images(
    images: Floats, encoding: Encoding
) -> list[str] | NDArray[np.generic] | orjson.Fragment:
    """Return images (N, C, H, W) as a member of a JSON response."""
    if encoding == "array":
        return to_json_parts(np.ascontiguousarray(images))
    encoded = []
    for image in images:
        encoded.append(encode_png(image))
        yield_to_loop()
    return encoded


def write_png(image: NDArray[np.floating]) -> bytes:
    """Return an image (C, H, W) in [0, 1] as a PNG file with 8 bits per channel."""
    pixels = np.rint(image * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def encode_png(image: NDArray[np.floating]) -> str:
    """Return an image (C, H, W) in [0, 1] as a PNG file in base64."""
    return base64.b64encode(write_png(image)).decode()


def _arrange_grid(images: Floats) -> Floats:
    """Arrange images (N, C, H, W) row by row as one near-square image (C, rows, columns)."""
    count, channels, height, width = images.shape
    if count == 1:
        single: Floats = images[0]
        return single
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    row_pitch, column_pitch = height + _GRID_GAP, width + _GRID_GAP
    grid = np.zeros(
        (channels, rows * row_pitch - _GRID_GAP, columns * column_pitch - _GRID_GAP), np.float32
    )
    for index, image in enumerate(images):
        top, left = index // columns * row_pitch, index % columns * column_pitch
        grid[:, top : top + height, left : left + width] = image
    return grid
