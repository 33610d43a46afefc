"""Files that callers send, all of one picture: the same pixels in unusual encodings."""

import struct
import zlib

import numpy as np
from PIL import Image

from tests.support.image_files import (
    insert_segments,
    make_chunk,
    make_exif,
    make_orientation,
    make_segment,
    save,
)
from tests.support.png_files import GREY, make_key, write_png

_RESOLUTION = struct.pack(">HHII", 0x011A, 5, 1, 38)
"""A rational number in the 8 bytes after two entries."""


def make_caller_files(picture: Image.Image) -> dict[str, bytes]:
    """Return files by their names; each shows the picture, within the loss of JPEG.

    Args:
        picture: Grey, light on black, with levels that are multiples of 17.
    """
    levels = np.asarray(picture).astype(np.uint16)
    exif = make_chunk(b"eXIf", b"MM\x00*\xff\xff\xff\xff")
    profile = make_chunk(b"iCCP", b"name\x00\x00profile")[:-4] + bytes(4)
    text = make_chunk(b"zTXt", b"key\x00\x00" + zlib.compress(bytes(1_500_000)))
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    orientation = make_chunk(b"eXIf", make_exif(make_orientation(6)))
    key = make_key(0)
    return {
        "plain.png": save(picture),
        "broken-exif.png": write_png(levels, 8, GREY, before=[exif]),
        "bad-profile.png": write_png(levels, 8, GREY, before=[profile]),
        "long-text.png": write_png(levels, 8, GREY, before=[text]),
        "key-4-bits.png": write_png(levels // 17, 4, GREY, before=[key]),
        "key-16-bits.png": write_png(levels * 257, 16, GREY, before=[key]),
        "key-rotated.png": write_png(np.asarray(turned) // 17, 4, GREY, before=[key, orientation]),
        "rotated.jpg": _rotate(turned, make_exif(make_orientation(6))),
        "rotated-resolution.jpg": _rotate(
            turned, make_exif(_RESOLUTION, make_orientation(6)) + struct.pack(">ii", -1, 0)
        ),
        "cmyk.jpg": save(picture.convert("CMYK"), "JPEG", quality=95),
        "rgb.jpg": save(picture.convert("RGB"), "JPEG", quality=95),
    }


def make_half(picture: Image.Image) -> bytes:
    """Return a PNG file whose compressed pixels are complete, of half of the rows."""
    rows = np.asarray(picture)
    return write_png(rows, 8, GREY, missing_bytes=rows.shape[0] // 2 * (rows.shape[1] + 1))


def _rotate(turned: Image.Image, exif: bytes) -> bytes:
    content = save(turned, "JPEG", quality=95)
    return insert_segments(content, make_segment(0xE1, b"Exif\0\0" + exif))
