"""Images, latents and JSON out, in the form that the client accepts."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

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

Encoding: TypeAlias = Annotated[
    Literal["png", "array"],
    Field(description="Images inside a JSON answer: base64 PNG files, or nested C x H x W floats."),
]
JSON = "application/json"
PNG = "image/png"
JSON_ONLY = (JSON,)
IMAGE_FORMS = (JSON, PNG, NPY)
TENSOR_FORMS = (JSON, NPY)

_GRID_GAP = 2
_PNG_LEVEL = 1  # pictures this small compress about as well as at the default, in half the time


def choose_form(accept: str, offered: Sequence[str]) -> str:
    """Return the offered media type that the client likes best; the first where it is all one.

    Args:
        accept: The `Accept` header; empty where there is none (RFC 9110, section 12.5.1).
        offered: What can be given, the default first.

    Raises:
        NotAcceptableError: none of them is accepted.
    """
    if not accept or accept == "*/*":
        return offered[0]
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    liked = {form: _quality(form, ranges) for form in offered}
    best = max(offered, key=lambda form: liked[form])
    if ranges and not liked[best]:
        raise NotAcceptableError(f"this can be given as {', '.join(offered)}")
    return best


def _parse_range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return media_range, float(quality)
    except ValueError:
        return media_range, 0.0


def _quality(form: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality that the most specific matching range gives a media type."""
    given = dict(ranges)
    for candidate in (form, f"{form.partition('/')[0]}/*", "*/*"):
        if candidate in given:
            return given[candidate]
    return 0.0


def give_json(content: object) -> Response:
    """Answer with JSON; arrays in `content` become nested lists."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


def give_npy(array: Floats) -> Response:
    """Answer with a float32 .npy array."""
    return Response(write_npy(array.astype("<f4", copy=False)), media_type=NPY)


def give_images(
    images: Floats, form: str, encoding: Encoding, others: dict[str, object] | None = None
) -> Response:
    """Answer with images of (N, C, H, W) in [0, 1].

    Args:
        images: The images.
        form: The media type of the answer.
        encoding: How JSON holds them.
        others: Further members of a JSON answer.
    """
    if form == NPY:
        return give_npy(images)
    if form == PNG:
        return Response(write_png(_lay_grid(images)), media_type=PNG)
    packed: object = np.ascontiguousarray(images)
    if encoding == "png":
        packed = [encode_picture(image) for image in images]
    return give_json({"images": packed, **(others or {})})


def write_png(image: NDArray[np.floating]) -> bytes:
    """Return an image of (C, H, W) in [0, 1] as a PNG file, 8 bits a channel."""
    pixels = np.rint(image * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def encode_picture(image: NDArray[np.floating]) -> str:
    """Return an image of (C, H, W) in [0, 1] as a PNG file in base64."""
    return base64.b64encode(write_png(image)).decode()


def _lay_grid(images: Floats) -> Floats:
    """Lay images of (N, C, H, W) out as one of (C, rows, columns), near-square, row by row."""
    count, channels, height, width = images.shape
    if count == 1:
        single: Floats = images[0]
        return single
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    high, wide = height + _GRID_GAP, width + _GRID_GAP
    grid = np.zeros((channels, rows * high - _GRID_GAP, columns * wide - _GRID_GAP), np.float32)
    for index, image in enumerate(images):
        top, left = index // columns * high, index % columns * wide
        grid[:, top : top + height, left : left + width] = image
    return grid
