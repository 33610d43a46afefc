"""Picture files: told by their first bytes, opened without decoding, decoded where the work runs.

Pillow decodes all of them. Its reader of PNG files is written in Python, though, and takes longer
than decoding a small picture does. So small files of the plainest kind, which hold pixels and
nothing about them, are taken apart here, and only the pixels are given to Pillow's decoder.
"""

import base64
import binascii
import io
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.pixels import Invert, to_pixels
from service.errors import InvalidInputError, MalformedInputError, UnsupportedFormatError, Violation
from service.http.limits import Limits

_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = {_PNG: "PNG", b"\xff\xd8\xff": "JPEG"}
_OTHER_FORMATS = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "TIFF": (0, b"II*\x00"),
    "TIFF ": (0, b"MM\x00*"),
    "WebP": (8, b"WEBP"),
    "HEIF or AVIF": (4, b"ftyp"),
    "JPEG 2000": (4, b"jP  "),
    "ICO": (0, b"\x00\x00\x01\x00"),
    "PSD": (0, b"8BPS"),
    "PostScript": (0, b"%!PS"),
    "PDF": (0, b"%PDF"),
    "SVG": (0, b"<svg"),
    "XML": (0, b"<?xml"),
    "FITS": (0, b"SIMPLE"),
}
_PLAIN_BYTES = 64 * 1024
"""Files that are longer are left to Pillow: their time goes into decoding."""
_PLAIN_CHUNKS = 16
_HEAD = struct.Struct(">IIBBBBB")
_PLAIN_MODES = {(8, 0, 0, 0, 0): "L", (8, 2, 0, 0, 0): "RGB"}
"""Pillow's modes by bit depth, colour type, compression, filter and interlace method."""

# Pillow only warns of pictures that are large, and says of huge ones that they cannot be opened;
# `check_pixels` refuses both, from their headers, and names the limit.
Image.MAX_IMAGE_PIXELS = None


@dataclass(slots=True)
class Picture:
    """An opened file, of which only the header was looked at."""

    width: int
    height: int
    decode: Callable[[], Image.Image]
    """Returns the pixels, not always decoded yet; raises what Pillow does of broken files."""

    def to_pixels(self, spec: ImageSpec, invert: Invert, pointer: str | None) -> NDArray[np.uint8]:
        """Return the picture as (channels, height, width) uint8 of a bundle's images.

        Args:
            spec: The bundle's images.
            invert: Whether dark-on-light becomes light-on-dark.
            pointer: Where the picture stands in JSON; None where it came otherwise.

        Raises:
            InvalidInputError: it is broken further on, and came in JSON, which is whole.
            MalformedInputError: it is, and came otherwise.
        """
        try:
            return to_pixels(self.decode(), spec, invert)
        except Exception as error:
            detail = "the picture is truncated or broken"
            if pointer is not None:
                raise InvalidInputError(Violation(pointer, detail)) from error
            raise MalformedInputError(detail) from error


def open_picture(content: bytes) -> Picture:
    """Open a PNG or JPEG file, told by its first bytes; nothing is decoded yet.

    Raises:
        MalformedInputError: the file is broken.
        UnsupportedFormatError: the file is of another format.
    """
    plain = _open_plain(content)
    if plain is not None:
        return plain
    format_ = next((name for head, name in _SIGNATURES.items() if content.startswith(head)), None)
    if format_ is None:
        for name, (offset, mark) in _OTHER_FORMATS.items():
            if content[offset : offset + len(mark)] == mark:
                raise UnsupportedFormatError(f"a {name.strip()} file; PNG and JPEG are read")
        raise MalformedInputError("the content is no PNG or JPEG file")
    try:
        image = Image.open(io.BytesIO(content), formats=[format_])
    except Exception as error:
        raise MalformedInputError(f"the {format_} file is broken") from error
    return Picture(image.width, image.height, lambda: image)


def _open_plain(content: bytes) -> Picture | None:
    """Open a small PNG file that holds grey or RGB pixels of 8 bits and nothing else.

    None is returned of every other file, also of one that is broken, for Pillow to judge.
    """
    if not content.startswith(_PNG) or len(content) > _PLAIN_BYTES:
        return None
    chunks = _split(content)
    if len(chunks) < 3 or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":  # noqa: PLR2004
        return None
    data = [part for kind, part in chunks[1:-1] if kind == b"IDAT"]
    if len(data) != len(chunks) - 2 or len(chunks[0][1]) != _HEAD.size:
        return None
    width, height, *form = _HEAD.unpack(chunks[0][1])
    mode = _PLAIN_MODES.get(tuple(form))
    if mode is None or not width or not height:
        return None
    pixels = b"".join(data)
    return Picture(
        width, height, lambda: Image.frombytes(mode, (width, height), pixels, "zip", mode)
    )


def _split(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the kinds and contents of the first chunks of a PNG file, as far as they are whole."""
    chunks: list[tuple[bytes, bytes]] = []
    start = len(_PNG)
    while len(chunks) < _PLAIN_CHUNKS:
        end = start + 8 + int.from_bytes(content[start : start + 4])
        kind = content[start + 4 : start + 8]
        told = int.from_bytes(content[end : end + 4])
        if end + 4 > len(content) or zlib.crc32(content[start + 4 : end]) != told:
            return chunks
        chunks.append((kind, content[start + 8 : end]))
        if kind == b"IEND":
            return chunks
        start = end + 4
    return chunks


def open_base64(text: str) -> Picture:
    """Open a picture given as base64, or as a `data:` URL of base64.

    Raises:
        MalformedInputError: the text is no base64, or no picture.
        UnsupportedFormatError: the picture is of another format.
    """
    head, separator, rest = text.partition(",")
    encoded = rest if separator and head.startswith("data:") else text
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInputError("the text is no base64; URLs are not fetched") from error
    return open_picture(content)


def check_pixels(items: Iterable[object], limits: Limits) -> int:
    """Return the pixels of all pictures among the items, which must be within the limit."""
    pixels = sum(item.width * item.height for item in items if isinstance(item, Picture))
    limits.check("pixels", pixels)
    return pixels
