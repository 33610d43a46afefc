"""The orientation of an image in Exif metadata, and nothing else of it."""

import struct

from PIL import Image

IDENTIFIER = b"Exif\x00\x00"
_BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_ORIENTATION = 0x0112
_SHORT = 3
_MAX_ENTRIES = 256
_FIRST_TURNED = 5
"""From this orientation on, the stored rows are the columns of the upright image."""
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def parse_orientation(exif: bytes | None) -> int:
    """Return the orientation, 1 to 8, in Exif metadata; 1 (upright) if it is absent or broken.

    A damaged entry elsewhere in the metadata does not matter.

    Args:
        exif: A TIFF structure, with or without the identifier before it in JPEG files.
    """
    tiff = b"" if exif is None else exif.removeprefix(IDENTIFIER)
    if (order := _BYTE_ORDERS.get(tiff[:4])) is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for index in range(min(count, _MAX_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, offset + 2 + 12 * index)
            if tag == _ORIENTATION and kind == _SHORT:
                return value if value in _TRANSPOSITIONS else 1
    except struct.error:
        pass
    return 1


def swap_sides(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the width and height of the upright image."""
    return (height, width) if orientation >= _FIRST_TURNED else (width, height)


def apply_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Return the upright image."""
    method = _TRANSPOSITIONS.get(orientation)
    return image if method is None else image.transpose(method)
