"""Image files and arrays in the formats that clients send."""

import base64
import io
import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """Return an image as a file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def make_png(value: int = 128, size: tuple[int, int] = (6, 8), mode: str = "L") -> bytes:
    """Return a PNG file of (width, height) filled with a grey value of 0 to 255."""
    return save(Image.new(mode, size, value if mode == "L" else (value,) * len(mode)))


def to_base64(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def to_npy(array: NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file, written by NumPy."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def read_npy(content: bytes) -> NDArray[np.generic]:
    """Return the array of a .npy file, read by NumPy."""
    array: NDArray[np.generic] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def read_png(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(content)))


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def forge_png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG file with an arbitrary size in its header, these chunks and 100 black pixels."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    parts = [
        make_chunk(b"IHDR", header),
        *chunks,
        make_chunk(b"IDAT", zlib.compress(bytes(100))),
        make_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write_png(
    data: bytes,
    size: tuple[int, int] = (6, 6),
    *,
    depth: int = 8,
    colour: int = 0,
    interlaced: bool = False,
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    parts: int = 1,
) -> bytes:
    """Return a PNG file.

    Args:
        data: The filtered rows.
        size: Width and height.
        depth: Bits per channel.
        colour: Colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        interlaced: Whether the rows are in the order of Adam7.
        before: Chunks before the pixels.
        after: Chunks after the pixels.
        parts: Number of chunks with pixels.
    """
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    compressed = zlib.compress(data)
    cuts = [len(compressed) * part // parts for part in range(parts + 1)]
    pixels = (compressed[start:end] for start, end in itertools.pairwise(cuts))
    chunks = [
        make_chunk(b"IHDR", header),
        *before,
        *(make_chunk(b"IDAT", part) for part in pixels),
        *after,
        make_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def filter_rows(pixels: NDArray[np.uint8]) -> bytes:
    """Return the rows of 8-bit pixels (H, W) or (H, W, C) in the form of PNG, not filtered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def make_exif(*entries: bytes, order: str = ">") -> bytes:
    """Return a TIFF structure with these 12-byte entries."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def make_orientation(orientation: int, order: str = ">") -> bytes:
    """Return the Exif entry of an orientation."""
    return struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)


def make_segment(marker: int, content: bytes) -> bytes:
    """Return a JPEG segment."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def insert_segments(content: bytes, *segments: bytes) -> bytes:
    """Return a JPEG file with segments at its start."""
    return content[:2] + b"".join(segments) + content[2:]


def make_noise(width: int = 6, height: int = 8, file_format: str = "PNG") -> bytes:
    """Return an image file of random pixels."""
    rng = np.random.default_rng(0)
    return save(Image.fromarray(rng.integers(0, 256, (height, width), np.uint8)), file_format)
