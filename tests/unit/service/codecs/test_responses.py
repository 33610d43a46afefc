"""Images out: the form that the client likes best, and pixels by value."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.responses import (
    IMAGE_FORMS,
    JSON,
    PNG,
    choose_form,
    encode_picture,
    give_images,
)
from service.errors import NotAcceptableError


@pytest.mark.parametrize(
    ("accept", "form"),
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
        ("application/json;q=broken, image/png;q=0.1", PNG),
    ],
)
def test_the_best_form_is_given(accept: str, form: str) -> None:
    """Quality decides, then how exactly a range names the form, then our own order."""
    assert choose_form(accept, IMAGE_FORMS) == form


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "image/webp", "nonsense", "image/png;q=0"]
)
def test_nothing_that_is_liked_can_be_given(accept: str) -> None:
    """Where no form is acceptable, the forms there are are listed."""
    with pytest.raises(NotAcceptableError, match="application/json, image/png, application/x-npy"):
        choose_form(accept, IMAGE_FORMS)


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_header_gives_a_form_or_a_refusal(accept: str) -> None:
    """No text in `Accept` breaks the choice."""
    try:
        form = choose_form(accept, IMAGE_FORMS)
    except NotAcceptableError:
        return

    assert form in IMAGE_FORMS


def read(content: bytes) -> np.ndarray:
    """Return the pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(content)))


def test_pixels_are_rounded() -> None:
    """A value in [0, 1] becomes the nearest of 256 levels."""
    image = np.array([[[0, 1, 0.5, 0.2, 0.00196, 0.00197]]], np.float32)

    assert read(base64.b64decode(encode_picture(image))).tolist() == [[0, 255, 128, 51, 0, 1]]


def test_colour_is_in_its_place() -> None:
    """Channels come first here and last in a picture."""
    image = np.zeros((3, 2, 2), np.float32)
    image[0, 0, 0], image[1, 0, 1], image[2, 1, 0] = 1, 1, 1

    pixels = read(base64.b64decode(encode_picture(image)))

    assert pixels.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (10, 3, 4)],
)
def test_a_grid_is_near_square_and_in_order(count: int, rows: int, columns: int) -> None:
    """Images lie row by row with black gaps of two pixels; what is left over is black."""
    levels = np.arange(1, count + 1, dtype=np.float32) / 255
    images = np.broadcast_to(levels.reshape(-1, 1, 1, 1), (count, 1, 4, 3))

    grid = read(bytes(give_images(images, PNG, "png").body))

    assert grid.shape == (rows * 6 - 2, columns * 5 - 2)
    cells = grid[::6, ::5].ravel()
    assert cells.tolist() == [*range(1, count + 1), *[0] * (rows * columns - count)]
    assert int((grid > 0).sum()) == count * 12
