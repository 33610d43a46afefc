"""The orientation in Exif metadata; other entries, damaged or not, do not matter."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from service.artifact.image_files.exif import apply_orientation, parse_orientation
from tests.support.image_files import make_exif, make_orientation

RATIONAL = struct.pack(">HHIi", 0x011A, 5, 1, -1)  # a resolution with an invalid offset
TRUNCATED = make_exif(make_orientation(6))[:-8]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_found_in_both_byte_orders(order: str, orientation: int) -> None:
    """Each orientation is found, little-endian and big-endian."""
    assert parse_orientation(make_exif(make_orientation(orientation, order), order=order)) == (
        orientation
    )


def test_identifier_of_jpeg_files_is_skipped() -> None:
    """The identifier before the metadata in JPEG files is skipped."""
    assert parse_orientation(b"Exif\0\0" + make_exif(make_orientation(6))) == 6


def test_other_entries_do_not_matter() -> None:
    """An entry that is invalid, such as a resolution of -1/0, does not hide the orientation."""
    assert parse_orientation(make_exif(RATIONAL, make_orientation(6), RATIONAL)) == 6


@pytest.mark.parametrize(
    "tiff",
    [
        None,
        b"",
        b"MM\0*",
        b"XX\0*" + make_exif(make_orientation(6))[4:],
        b"MM\0*\xff\xff\xff\xff",
        make_exif(),
        make_exif(RATIONAL),
        make_exif(make_orientation(0)),
        make_exif(make_orientation(9)),
        make_exif(*[RATIONAL] * 256, make_orientation(6)),
        make_exif(struct.pack(">HHII", 0x0112, 4, 1, 6)),
        TRUNCATED,
    ],
    ids=lambda tiff: repr(tiff)[:40],
)
def test_broken_metadata_is_upright(tiff: bytes | None) -> None:
    """Without a valid orientation among the first 256 entries, the image is upright."""
    assert parse_orientation(tiff) == 1


@given(st.binary(max_size=100), st.sampled_from([b"MM\0*", b"II*\0", b""]))
@example(b"\0\0\0\x08\xff\xff", b"MM\0*")
def test_any_bytes_have_an_orientation(content: bytes, mark: bytes) -> None:
    """Any bytes give an orientation without an error."""
    assert parse_orientation(mark + content) in range(1, 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_by_pillow(orientation: int) -> None:
    """Each orientation turns and flips the image as Pillow's own function does."""
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation

    upright = apply_orientation(Image.fromarray(pixels), orientation)

    assert np.array_equal(np.asarray(upright), np.asarray(ImageOps.exif_transpose(image)))
