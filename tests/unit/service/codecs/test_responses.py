"""Responses: content negotiation, and images as PNG files, grids and arrays."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.responses import (
    IMAGE_TYPES,
    JSON,
    PNG,
    encode_png,
    negotiate,
    respond_images,
    respond_json,
    respond_npy,
)
from service.errors import NotAcceptableError
from tests.support.image_files import read_npy


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        (",", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json; charset=utf-8", JSON),
        ("image/png", PNG),
        ("image/*", PNG),
        ("image/webp, image/*;q=0.5", PNG),
        ("image/png;q=0.1, application/x-npy;q=0.2", NPY),
        ("*/*;q=0.1, application/x-npy", NPY),
        ("application/*;q=0.1, image/png;q=0.2", PNG),
        ("application/json;q=0, */*", PNG),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/x-npy, image/png", PNG),
    ],
)
def test_best_media_type_is_chosen(accept: str, media_type: str) -> None:
    """The quality decides, then the order of the offered media types."""
    assert negotiate(accept, IMAGE_TYPES) == media_type


@pytest.mark.parametrize("quality", ["broken", "", "2", "-1"])
def test_malformed_quality_counts_as_one(quality: str) -> None:
    """A malformed quality counts as 1."""
    accept = f"image/png;q=0.9, application/x-npy;q={quality}"

    assert negotiate(accept, IMAGE_TYPES) == NPY


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "image/webp", "nonsense", "image/png;q=0"]
)
def test_unavailable_media_type_is_rejected(accept: str) -> None:
    """If no offered media type is acceptable, the error lists them."""
    with pytest.raises(NotAcceptableError, match="application/json, image/png, application/x-npy"):
        negotiate(accept, IMAGE_TYPES)


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_header_is_negotiated_or_rejected(accept: str) -> None:
    """Any text in `Accept` gives an offered media type or NotAcceptableError."""
    try:
        media_type = negotiate(accept, IMAGE_TYPES)
    except NotAcceptableError:
        return

    assert media_type in IMAGE_TYPES


def read(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(content)))


def test_arrays_in_json_are_nested_lists() -> None:
    """Arrays in a JSON response become nested lists."""
    response = respond_json({"a": np.array([[1, 0.5]], np.float32), "b": 2})

    assert (response.media_type, json.loads(response.body)) == (JSON, {"a": [[1, 0.5]], "b": 2})


def test_npy_response_is_little_endian_float32() -> None:
    """A .npy response has little-endian float32 numbers."""
    array = read_npy(bytes(respond_npy(np.array([[1, 0.5]], ">f4")).body))

    assert array.dtype.str == "<f4"
    assert array.tolist() == [[1, 0.5]]


def test_images_have_the_requested_form() -> None:
    """Images are PNG files or nested numbers in JSON, or a .npy array."""
    images = np.array([[[[0, 1]]], [[[1, 0]]]], np.float32)

    in_json = json.loads(respond_images(images, JSON, "array", {"seed": 1}).body)
    as_files = json.loads(respond_images(images, JSON, "png").body)["images"]

    assert in_json == {"images": images.tolist(), "seed": 1}
    assert [read(base64.b64decode(file)).tolist() for file in as_files] == [[[0, 255]], [[255, 0]]]
    assert np.array_equal(read_npy(bytes(respond_images(images, NPY, "png").body)), images)


def test_pixels_are_rounded() -> None:
    """A value in [0, 1] becomes the nearest of 256 levels."""
    image = np.array([[[0, 1, 0.5, 0.2, 0.00196, 0.00197]]], np.float32)

    assert read(base64.b64decode(encode_png(image))).tolist() == [[0, 255, 128, 51, 0, 1]]


def test_channels_are_last_in_a_file() -> None:
    """Channels are first in arrays and last in files."""
    image = np.zeros((3, 2, 2), np.float32)
    image[0, 0, 0], image[1, 0, 1], image[2, 1, 0] = 1, 1, 1

    pixels = read(base64.b64decode(encode_png(image)))

    assert pixels.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (10, 3, 4)],
)
def test_grid_is_near_square_and_in_order(count: int, rows: int, columns: int) -> None:
    """A grid has the images row by row, black gaps of two pixels and black empty cells."""
    levels = np.arange(1, count + 1, dtype=np.float32) / 255
    images = np.broadcast_to(levels.reshape(-1, 1, 1, 1), (count, 1, 4, 3))

    grid = read(bytes(respond_images(images, PNG, "png").body))

    assert grid.shape == (rows * 6 - 2, columns * 5 - 2)
    cells = grid[::6, ::5].ravel()
    assert cells.tolist() == [*range(1, count + 1), *[0] * (rows * columns - count)]
    assert int((grid > 0).sum()) == count * 12
