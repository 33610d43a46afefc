"""JPEG files: their segments, without the metadata that pixels do not depend on."""

import io
import re
from dataclasses import dataclass

from PIL import Image

from service.artifact.image_files.exif import IDENTIFIER

SIGNATURE = b"\xff\xd8\xff"
_MAX_SEGMENTS = 1000
_MAX_SCANS = 64
"""Each scan of a progressive file passes over all pixels; encoders write about ten."""
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_LENGTH_BYTES = 2
"""The length of a segment counts its own bytes."""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""APP1 to APP13, APP15 and comments. APP14 (Adobe) gives the colour transform."""
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker, also among compressed pixels: neither an escaped 0xFF nor a restart marker."""
_SEARCHED_BYTES = 64 * 1024
"""Bytes that are searched at once, while other threads wait."""


@dataclass(slots=True)
class Jpeg:
    """A JPEG file without metadata; only its header is decoded."""

    image: Image.Image
    scans: int
    """Number of passes over the pixels, at least 1."""
    exif: bytes | None

    def draft(self, columns: int, rows: int) -> tuple[int, int]:
        """Decode as few columns and rows as the format offers, at least the given numbers.

        Returns:
            The columns and rows of the result.
        """
        self.image.draft(None, (columns, rows))
        return self.image.size


def parse_jpeg(content: bytes) -> Jpeg:
    """Open a JPEG file without its metadata.

    Raises:
        ValueError: a segment is truncated, or there are too many segments or scans.
        Exception: Pillow's various errors for an invalid header.
    """
    view = memoryview(content)
    kept: list[memoryview] = [view[:2]]
    exif = None
    position = 2
    for _ in range(_MAX_SEGMENTS):
        code = _find_marker(content, position)
        if code == len(content):
            raise ValueError("truncated")
        marker = content[code]
        start = code - 1
        if marker == _START_OF_SCAN:
            scans, end = _find_end(content, start)
            kept.append(view[start:end])
            break
        body = code + 1
        size = 0 if marker in _STANDALONE else int.from_bytes(content[body : body + 2])
        position = body + size
        is_short = marker not in _STANDALONE and size < _LENGTH_BYTES
        if is_short or position >= len(content):
            raise ValueError("truncated")
        if marker not in _METADATA:
            kept.append(view[start:position])
        elif exif is None and content[body + 2 : body + 2 + len(IDENTIFIER)] == IDENTIFIER:
            exif = content[body + 2 + len(IDENTIFIER) : position]
    else:
        raise ValueError(f"more than {_MAX_SEGMENTS} segments")
    return Jpeg(Image.open(io.BytesIO(b"".join(kept)), formats=["JPEG"]), scans, exif)


def _find_end(content: bytes, position: int) -> tuple[int, int]:
    """Return the number of scans and where the image ends.

    Cameras append more: further pictures, a depth map, seconds of video.

    Args:
        content: The file.
        position: Where the first scan starts.

    Raises:
        ValueError: there are too many scans or segments.
    """
    scans = 0
    for _ in range(_MAX_SEGMENTS):
        code = _find_marker(content, position)
        position = code + 1
        if code == len(content) or content[code] == _END_OF_IMAGE:
            return scans, position
        marker = content[code]
        if marker not in _STANDALONE:
            position += int.from_bytes(content[position : position + 2])
        scans += marker == _START_OF_SCAN
        if scans > _MAX_SCANS:
            raise ValueError(f"more than {_MAX_SCANS} scans")
    raise ValueError(f"more than {_MAX_SEGMENTS} segments")


def _find_marker(content: bytes, position: int) -> int:
    """Return where the code of the next marker is; the length of the content if there is none.

    Bytes that belong to no segment, fill bytes and compressed pixels are skipped.
    """
    while position < len(content):
        if found := _MARKER.search(content, position, position + _SEARCHED_BYTES):
            return found.end() - 1
        position += _SEARCHED_BYTES - 1  # the last byte may begin a marker
    return len(content)
