"""Images of a request become one batch: shapes, ranges, order and errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import ImageSpec
from service.artifact.image_files import open_image
from service.codecs.image_batches import read_numbers, to_batch
from service.errors import InvalidInputError, MalformedInputError
from tests.support.fakes import IMAGE
from tests.support.image_files import make_png, write_png

COLOUR = ImageSpec(channels=3, height=8, width=6, background=(0.0, 0.0, 0.0))


@settings(deadline=None)
@given(st.integers(0, 4), st.data())
def test_nested_numbers_are_read_as_by_numpy(depth: int, data: st.DataObject) -> None:
    """Nested lists of equal length give the array that NumPy makes of them."""
    nested: Any = st.floats(-1e300, 1e300) | st.integers(-(2**60), 2**60)
    for _ in range(depth):
        size = data.draw(st.integers(1, 3))
        nested = st.lists(nested, min_size=size, max_size=size)
    value = data.draw(nested)

    assert np.array_equal(read_numbers(value, ""), np.array(value, dtype=np.float64))


@pytest.mark.parametrize(
    "value",
    [
        *([[1], 1], [1, [1]], [[1], [1, 1]], [], [[]], ["1"], [True], [None], [{}]),
        *(10**400, [[[[[[[[[1]]]]]]]]]),
    ],
    ids=repr,
)
def test_uneven_lists_are_rejected(value: object) -> None:
    """Uneven and too deep lists, and values other than numbers, are rejected with their pointer."""
    with pytest.raises(InvalidInputError) as caught:
        read_numbers(value, "/images/3")

    assert caught.value.violations[0].pointer == "/images/3"


def test_batch_is_in_order() -> None:
    """Files and numbers may be mixed and stay in order."""
    items = [np.full((8, 6), 0.0), open_image(make_png(51)), np.full((1, 8, 6), 1.0)]

    batch = to_batch(items, IMAGE, "false")

    assert batch.dtype == np.float32
    assert batch[:, 0, 0, 0] == pytest.approx([0.0, 0.2, 1.0])


@pytest.mark.parametrize(
    ("shape", "spec", "expected"),
    [
        ((8, 6), IMAGE, (1, 1, 8, 6)),
        ((5, 8, 6), IMAGE, (5, 1, 8, 6)),
        ((5, 1, 8, 6), IMAGE, (5, 1, 8, 6)),
        ((5, 3, 8, 6), COLOUR, (5, 3, 8, 6)),
    ],
)
def test_missing_axes_are_added(
    shape: tuple[int, ...], spec: ImageSpec, expected: tuple[int, ...]
) -> None:
    """One image without a batch axis, and one channel without its axis, are accepted."""
    batch = to_batch(np.zeros(shape, np.float64), spec, "false")

    assert batch.shape == expected
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous


@pytest.mark.parametrize("shape", [(6, 8), (0, 1, 8, 6), (2, 3, 8, 6), (1, 1, 1, 8, 6), (48,), ()])
def test_other_shape_is_rejected(shape: tuple[int, ...]) -> None:
    """The error for another shape states both shapes."""
    with pytest.raises(InvalidInputError) as caught:
        to_batch(np.zeros(shape), IMAGE, "false")

    assert str(caught.value) == f"Expected images of shape (N, 1, 8, 6), got {shape}."
    assert caught.value.violations[0].pointer == "/images"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "finite numbers"),
        (float("inf"), "finite numbers"),
        (-0.01, r"in \[0, 1\], got \[-0.01, 0\]\.$"),
        (1.5, r"in \[0, 1\], got \[0, 1.5\]\.$"),
        (255, r"got \[0, 255\]\. Divide integers up to 255 by 255"),
    ],
)
def test_other_range_is_rejected(value: float, reason: str) -> None:
    """Numbers outside [0, 1] are rejected; for integers the error says how to scale them."""
    images = np.zeros((2, 8, 6))
    images[1, 2, 3] = value

    with pytest.raises(InvalidInputError, match=reason):
        to_batch(images, IMAGE, "false")


def test_pointer_has_the_position_of_the_image() -> None:
    """The error for one of several images points to it."""
    with pytest.raises(InvalidInputError) as caught:
        to_batch([np.zeros((8, 6)), np.zeros((6, 8))], IMAGE, "false")

    assert caught.value.violations[0].pointer == "/images/1"


def test_uint8_is_scaled() -> None:
    """uint8 numbers are divided by 255, as in image files."""
    images = np.array([[[51] * 6] * 8], np.uint8)

    assert to_batch(images, IMAGE, "false") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("invert", "expected"), [("false", [0.2, 0.8]), ("true", [0.8, 0.2]), ("auto", [0.2, 0.2])]
)
def test_images_are_inverted(invert: Any, expected: list[float]) -> None:  # noqa: ANN401 - a literal
    """`auto` inverts images with a light border, whether files or numbers."""
    numbers = np.stack([np.full((8, 6), 0.2), np.full((8, 6), 0.8)])
    files = [open_image(make_png(51)), open_image(make_png(204))]

    for images in (numbers, files):
        assert to_batch(images, IMAGE, invert)[:, 0, 3, 3] == pytest.approx(expected)


def test_damaged_file_is_invalid_in_json_and_malformed_elsewhere() -> None:
    """A file that only decoding finds damaged is invalid at its pointer in JSON."""
    files = [open_image(make_png()), open_image(write_png(b"\x09" * 56, (6, 8)))]

    with pytest.raises(MalformedInputError, match="truncated or damaged"):
        to_batch(files, IMAGE, "false")
    with pytest.raises(InvalidInputError, match="truncated or damaged") as caught:
        to_batch(files, IMAGE, "false", in_json=True)
    assert caught.value.violations[0].pointer == "/images/1"


def test_orientation_is_applied_before_resizing() -> None:
    """An image that the camera turned has its own proportions when it is resized."""
    spec = ImageSpec(channels=1, height=4, width=2, background=(0.0,))
    file = open_image(write_png(b"\0\0\0\xff\xff" * 2, (4, 2)))
    file.orientation = 6

    assert to_batch([file], spec, "false")[0, 0].tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]
