"""Pictures and arrays as clients send them."""

import base64
import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return a picture as a file."""
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def make_png(value: int = 128, size: tuple[int, int] = (6, 8), mode: str = "L") -> bytes:
    """Return a PNG file of (width, height) filled with a grey value of 0 to 255."""
    return save(Image.new(mode, size, value if mode == "L" else (value,) * len(mode)))


def to_base64(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def to_npy(array: NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file, by NumPy's own writer."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def read_npy(content: bytes) -> NDArray[np.generic]:
    """Return the array of a .npy file, by NumPy's own reader."""
    array: NDArray[np.generic] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def read_png(content: bytes) -> NDArray[np.uint8]:
    """Return a PNG file's pixels."""
    return np.asarray(Image.open(io.BytesIO(content)))


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def forge_png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG file that claims any size, holds any chunks and 100 black pixels."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    parts = [
        make_chunk(b"IHDR", header),
        *chunks,
        make_chunk(b"IDAT", zlib.compress(bytes(100))),
        make_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def make_noise(width: int = 6, height: int = 8, form: str = "PNG") -> bytes:
    """Return a file whose pixels cannot be guessed from a part of it."""
    generator = np.random.default_rng(0)
    return save(Image.fromarray(generator.integers(0, 256, (height, width), np.uint8)), form)
