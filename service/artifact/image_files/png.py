"""PNG files: their chunks, of which only those that pixels depend on reach the decoder.

Pillow decodes the pixels. Its PNG reader also inflates and parses text, colour profiles and Exif
metadata, which may cost far more than the pixels, or be damaged where the pixels are not. It is
written in Python and takes longer than decoding a small image. Files with plain 8-bit grey or RGB
pixels therefore bypass it; of all others it receives the necessary chunks only. Pillow leaves rows
black if the compressed stream ends early, so the length of the stream is checked here; and it
misreads transparent colours, which `service.artifact.image_files.color_key` applies.
"""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image, ImageFile

from service.artifact.image_files.color_key import apply_grey_key, apply_rgb_key, parse_color_key

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 16_384  # a file of 100 MB in chunks of 8 KiB, libpng's default, has 12,800
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_HEADER = struct.Struct(">IIBBBBB")
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_PLAIN_MODES = {(8, 0, 0, 0, 0): "L", (8, 2, 0, 0, 0): "RGB"}
"""Pillow's modes by bit depth, colour type, compression, filter and interlace method."""
_FILL = 77
"""Level of pixels that the stream does not reach: a rare one, since it costs a check."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Adam7 interlacing: first column and row, step in columns and rows."""
_BLOCK = 64 * 1024
_ANCILLARY_BIT = 0x20
_GREY, _RGB, _PALETTE = 0, 2, 3
_COLORED = frozenset({_RGB, _PALETTE, 6})
"""Colour types."""
_DEEP = 16
_LOW_BYTES = "RGB;16L"
"""Little-endian: reading big-endian pixels by it returns their low bytes."""


@dataclass(slots=True)
class Png:
    """The parts of a PNG file that its pixels depend on; nothing is decoded yet."""

    width: int
    height: int
    depth: int
    color_type: int
    is_interlaced: bool
    plain_mode: str | None
    """Pillow's mode of plain pixels; None for all other kinds."""
    color_key: tuple[int, ...] | None
    """The transparent grey level or colour, in the depth of the file."""
    chunks: list[memoryview]
    """The chunks for Pillow, copied from the file."""
    data: list[memoryview]
    """The compressed pixels."""
    exif: bytes | None

    @property
    def has_color(self) -> bool:
        """Whether the pixels may have colour, by their type."""
        return self.color_type in _COLORED

    def decode(self) -> Image.Image:
        """Return the pixels, which Pillow may decode later.

        Transparency is alpha or the entries of a palette. 16-bit grey is scaled to 8 bits if it
        is transparent, as Pillow has no mode for both.

        Raises:
            ValueError: the stream has fewer bytes than the image has pixels.
            Exception: Pillow's various errors for invalid pixels.
        """
        image = self._open() if self.plain_mode is None else self._decode_plain(self.plain_mode)
        if self.color_key is None:
            return image
        if self.color_type == _GREY:
            return apply_grey_key(image, self.color_key[0], self.depth)
        low_bytes = self._open() if self.depth == _DEEP else None
        if low_bytes is not None:
            low_bytes.tile = [low_bytes.tile[0]._replace(args=_LOW_BYTES)]
        return apply_rgb_key(image, self.color_key, low_bytes)

    def _decode_plain(self, mode: str) -> Image.Image:
        color = _FILL if mode == "L" else (_FILL, _FILL, _FILL)
        image = Image.new(mode, (self.width, self.height), color)
        image.frombytes(b"".join(self.data), "zip", mode)
        if image.getpixel((self.width - 1, self.height - 1)) == color:  # it may be missing
            self._check_length()
        return image

    def _open(self) -> ImageFile.ImageFile:
        self._check_length()
        stream = io.BytesIO(b"".join([SIGNATURE, *self.chunks, _END]))
        return Image.open(stream, formats=["PNG"])

    def _check_length(self) -> None:
        """Raise ValueError if the stream ends before the last row."""
        pixel_bits = self.depth * _SAMPLES[self.color_type]
        sizes = [(self.width, self.height)]
        if self.is_interlaced:
            sizes = [
                (-(-(self.width - left) // across), -(-(self.height - top) // down))
                for left, top, across, down in _PASSES
            ]
        expected = sum(
            rows * (1 + -(-columns * pixel_bits // 8)) for columns, rows in sizes if columns
        )
        if _count_inflated(self.data, expected) < expected:
            raise ValueError("rows are missing")


def _count_inflated(data: list[memoryview], limit: int) -> int:
    """Return the length of a stream once decompressed, or a number that is at least `limit`."""
    inflater = zlib.decompressobj()
    count = 0
    for part in data:
        pending: bytes | memoryview = part
        while pending and count < limit:
            count += len(inflater.decompress(pending, _BLOCK))
            pending = inflater.unconsumed_tail
    return count if count >= limit else count + len(inflater.flush())


def parse_png(content: bytes) -> Png:
    """Split a PNG file into its chunks and check their structure.

    Checksums of chunks that pixels do not depend on are ignored, as browsers ignore them.

    Raises:
        ValueError: the file is truncated, a necessary chunk is damaged, or there are too many.
    """
    view = memoryview(content)
    kept: list[memoryview] = []
    data: list[memoryview] = []
    key = exif = None
    for kind, start, end in _split(content):
        if kind in _KEPT:
            kept.append(view[start : end + 4])
            if kind == b"IDAT":
                data.append(view[start + 8 : end])
            elif kind == b"tRNS":
                key = kept[-1]
        elif kind == b"eXIf":
            exif = content[start + 8 : end]
    if not data or len(kept[0]) != _HEADER.size + 12 or bytes(kept[0][4:8]) != b"IHDR":
        raise ValueError("no header or no pixels")
    width, height, *form = _HEADER.unpack(kept[0][8:-4])
    if not width or not height:
        raise ValueError("no pixels")
    depth, color_type, _, _, interlacing = form
    if color_type not in _SAMPLES:
        raise ValueError(f"unknown colour type {color_type}")
    color_key = None
    if key and color_type != _PALETTE:
        kept.remove(key)
        color_key = parse_color_key(bytes(key[8:-4]), color_type, depth)
    mode = _PLAIN_MODES.get(tuple(form))
    return Png(
        width, height, depth, color_type, bool(interlacing), mode, color_key, kept, data, exif
    )


def _split(content: bytes) -> list[tuple[bytes, int, int]]:
    """Return the kind of each chunk, where it starts, and where its data end, up to IEND."""
    view = memoryview(content)
    chunks: list[tuple[bytes, int, int]] = []
    start = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        end = start + 8 + int.from_bytes(content[start : start + 4])
        kind = content[start + 4 : start + 8]
        if end + 4 > len(content):
            raise ValueError("truncated")
        if not kind[0] & _ANCILLARY_BIT or kind == b"tRNS":
            if zlib.crc32(view[start + 4 : end]) != int.from_bytes(content[end : end + 4]):
                raise ValueError("checksum mismatch")
            if kind == b"IEND":
                return chunks
        chunks.append((kind, start, end))
        start = end + 4
    raise ValueError(f"more than {_MAX_CHUNKS} chunks")
