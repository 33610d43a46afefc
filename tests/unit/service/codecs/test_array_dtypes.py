"""Arrays of every dtype whose meaning is plain, and rejections of the others."""

import io

import numpy as np
import pytest
from numpy.lib import format as npy

from service.artifact import ImageSpec
from service.codecs.image_batches import to_batch
from service.codecs.npy import read_npy
from service.codecs.request_body import LATENTS, decode_body
from service.errors import InvalidInputError, UnsupportedFormatError
from service.http.limits import Limits
from tests.support.image_files import to_npy

SPEC = ImageSpec(channels=1, height=2, width=2, background=(0.0,))
LIMITS = Limits(body_bytes=1000, images=20, pixels=100, samples=3, json_bytes=1000, json_values=100)
INTEGERS = ["int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", ">i4", "<u2"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f2", ">f8"])
def test_floats(dtype: str) -> None:
    """Floats of any size are used as they are."""
    array = np.array([[[0, 0.25], [0.5, 1]]], dtype)

    assert np.array_equal(to_batch(read_npy(to_npy(array)), SPEC, "false")[:, 0], array)


def test_booleans() -> None:
    """Booleans are black and white."""
    array = np.array([[[False, True], [True, False]]])

    assert np.array_equal(to_batch(read_npy(to_npy(array)), SPEC, "false")[:, 0], array)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype: str) -> None:
    """Integers of 0 to 255 are levels, as in uint8."""
    array = np.array([[[0, 1], [51, 102]]], dtype)

    batch = to_batch(read_npy(to_npy(array)), SPEC, "false")[:, 0]

    assert batch == pytest.approx(array.astype(np.float64) / 255)


@pytest.mark.parametrize("dtype", ["uint8", *INTEGERS])
def test_black_integers(dtype: str) -> None:
    """Zeros are black in every dtype."""
    assert to_batch(np.zeros((1, 2, 2), dtype), SPEC, "false").max() == 0


@pytest.mark.parametrize(("low", "high"), [(0, 256), (-1, 255), (0, 65_535)])
def test_integers_out_of_range(low: int, high: int) -> None:
    """Integers outside 0 to 255 are rejected with their range."""
    array = np.array([[[0, low], [high, 5]]])

    with pytest.raises(InvalidInputError, match=rf"0 to 255, got \[{low}, {high}\]"):
        to_batch(array, SPEC, "false")


def test_ambiguous_integers() -> None:
    """Integers of 0 and 1, other than uint8, may be levels or a mask, and are rejected."""
    with pytest.raises(InvalidInputError, match="ambiguous"):
        to_batch(np.array([[[0, 1], [1, 0]]]), SPEC, "false")
    assert to_batch(np.array([[[0, 1], [1, 0]]], np.uint8), SPEC, "false").max() < 0.01


@pytest.mark.parametrize("value", [1 + 1e-6, -1e-6, 1 + 1e-7])
def test_rounding_is_clipped(value: float) -> None:
    """Numbers that exceed [0, 1] by rounding are clipped."""
    batch = to_batch(np.array([[[0.5, value], [0, 1]]]), SPEC, "false")

    assert batch.min() >= 0
    assert batch.max() <= 1
    assert batch[0, 0, 0, 1] == round(value)


@pytest.mark.parametrize("value", [1 + 2e-6, -2e-6, np.nan, np.inf])
def test_other_floats_are_rejected(value: float) -> None:
    """Numbers further outside [0, 1], NaN and infinity are rejected."""
    with pytest.raises(InvalidInputError):
        to_batch(np.array([[[0.5, value], [0, 1]]]), SPEC, "false")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_format_versions(version: tuple[int, int]) -> None:
    """Every version of the format is read."""
    array = np.array([[0.25, 0.5]], np.float32)
    stream = io.BytesIO()
    npy.write_array(stream, array, version=version)

    assert np.array_equal(read_npy(stream.getvalue()), array)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "S3", "datetime64[s]", "V4"])
def test_other_dtypes_are_rejected(dtype: str) -> None:
    """Text, complex numbers, times and raw bytes are rejected."""
    with pytest.raises(UnsupportedFormatError, match="supported: bool, integers, float16"):
        read_npy(to_npy(np.zeros(2, dtype)))


@pytest.mark.parametrize(
    ("dtype", "is_accepted"), [("float16", True), ("int64", False), ("bool", False)]
)
def test_latents(dtype: str, is_accepted: bool) -> None:
    """Latents are floats of any size."""
    body = decode_body("application/x-npy", to_npy(np.ones((1, 4), dtype)), LATENTS, LIMITS)

    if is_accepted:
        assert body.to_latents(4).dtype == np.float32
        return
    with pytest.raises(InvalidInputError, match="floating-point"):
        body.to_latents(4)
