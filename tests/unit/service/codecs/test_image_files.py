"""Picture files are read alike, whoever takes them apart."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.codecs.image_files import Picture, open_picture
from service.errors import LatentdError
from tests.support.image_files import make_chunk

SIDE = 6
SPEC = ImageSpec(channels=1, height=SIDE, width=SIDE)
PIXELS = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) * 7


def write_png(mode: str = "L", extra: bytes = b"", parts: int = 1) -> bytes:
    """Return a PNG file with chunks before its pixels, which come in so many parts."""
    colour = {"L": 0, "RGB": 2}[mode]
    rows = np.repeat(PIXELS[..., None], len(mode), axis=2).reshape(SIDE, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    cuts = np.linspace(0, len(data), parts + 1).astype(int)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, colour, 0, 0, 0)
    body = [data[start:end] for start, end in itertools.pairwise(cuts)]
    chunks = [make_chunk(b"IHDR", head), extra, *(make_chunk(b"IDAT", part) for part in body)]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, make_chunk(b"IEND", b"")])


def read(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture's pixels."""
    return picture.to_pixels(SPEC, "false", None)


def read_by_pillow(content: bytes) -> NDArray[np.uint8] | None:
    """Return what Pillow makes of a file; None where it is broken."""
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    except Exception:  # noqa: BLE001 - Pillow's many
        return None


def check_against_pillow(content: bytes) -> None:
    """Check that a file gives Pillow's pixels, or an error of ours where it is broken."""
    expected = read_by_pillow(content)
    try:
        pixels = read(open_picture(content))
    except LatentdError:
        assert expected is None
    else:
        assert expected is not None
        assert np.array_equal(pixels[0], expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_plain_file_is_decoded_without_pillows_reader(mode: str, parts: int) -> None:
    """Grey and RGB files give their pixels, in however many parts these come."""
    picture = open_picture(write_png(mode, parts=parts))

    assert isinstance(picture.decode(), Image.Image)
    assert type(picture.decode()) is Image.Image  # and no PngImageFile
    assert np.array_equal(read(picture)[0], PIXELS)


@pytest.mark.parametrize(
    "extra",
    [
        make_chunk(b"tRNS", b"\0\7"),
        make_chunk(b"eXIf", b"MM\0*"),
        make_chunk(b"tEXt", b"Title\0a"),
        make_chunk(b"PLTE", b"abc"),
    ],
)
def test_a_file_that_says_more_is_left_to_pillow(extra: bytes) -> None:
    """What may change the pixels' meaning is read by the library that knows it."""
    assert type(open_picture(write_png(extra=extra)).decode()) is not Image.Image


def test_very_many_parts_are_left_to_pillow() -> None:
    """A file of a thousand tiny parts costs this code no time."""
    picture = open_picture(write_png(parts=1000))

    assert type(picture.decode()) is not Image.Image
    assert np.array_equal(read(picture)[0], PIXELS)


PLAIN = write_png(parts=2)


@given(place=st.integers(8, len(PLAIN) - 1), value=st.integers(0, 255), cut=st.booleans())
@example(place=len(PLAIN) - 1, value=0, cut=True)
def test_a_damaged_file_is_what_pillow_says(place: int, value: int, cut: bool) -> None:
    """One wrong byte, or a cut, gives the pixels that Pillow finds, or an error of ours."""
    content = PLAIN[:place] if cut else PLAIN[:place] + bytes([value]) + PLAIN[place + 1 :]

    check_against_pillow(content)


@given(data=st.binary(max_size=80), mode=st.sampled_from(["L", "RGB"]))
def test_wrong_pixels_in_a_whole_file_are_what_pillow_says(data: bytes, mode: str) -> None:
    """Pixels that are too few, too many or no zlib stream fare as they do with Pillow."""
    whole = write_png(mode)
    start = whole.index(b"IDAT") - 4
    for stream in (data, zlib.compress(data)):
        end = make_chunk(b"IDAT", stream) + make_chunk(b"IEND", b"")
        content = whole[:start] + end
        check_against_pillow(content)
