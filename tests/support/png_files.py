"""PNG files of any bit depth and colour type, written without Pillow."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.support.image_files import make_chunk

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def write_png(
    samples: NDArray[np.integer],
    depth: int,
    color_type: int,
    *,
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    is_interlaced: bool = False,
    missing_bytes: int = 0,
) -> bytes:
    """Return a PNG file.

    Args:
        samples: (H, W) or (H, W, channels), 0 to 2^depth - 1.
        depth: Bits of a sample: 1, 2, 4, 8 or 16.
        color_type: One of the constants of this module.
        before: Whole chunks to place before the pixels.
        after: Whole chunks to place after the pixels.
        is_interlaced: Whether to interlace by Adam7.
        missing_bytes: Number of bytes to omit at the end of the pixels, in a complete stream.
    """
    height, width = samples.shape[:2]
    passes = [samples]
    if is_interlaced:
        passes = [samples[top::down, left::across] for left, top, across, down in _PASSES]
    rows = b"".join(_pack_rows(part, depth) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, is_interlaced)
    chunks = [
        make_chunk(b"IHDR", header),
        *before,
        make_chunk(b"IDAT", zlib.compress(rows[: len(rows) - missing_bytes])),
        *after,
        make_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pack_rows(samples: NDArray[np.integer], depth: int) -> bytes:
    """Return the bytes of rows, each after the filter type 0 (none)."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
    else:
        bits = (rows[..., None] >> np.arange(depth)[::-1]) & 1
        packed = np.packbits(bits.astype(np.uint8).reshape(len(rows), -1), axis=1)
    return b"".join(b"\x00" + row.tobytes() for row in packed)


def make_key(*levels: int) -> bytes:
    """Return a tRNS chunk that makes one grey level or one colour transparent."""
    return make_chunk(b"tRNS", struct.pack(f">{len(levels)}H", *levels))
