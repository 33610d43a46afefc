"""JPEG files: their segments, without the metadata that pixels do not depend on."""

import io
import re
from dataclasses import dataclass

from PIL import Image

from service.artifact.exif import IDENTIFIER

SIGNATURE = b"\xff\xd8\xff"
_MAX_SEGMENTS = 1000
_MAX_SCANS = 64
"""Each scan of a progressive file passes over all pixels; encoders write about ten."""
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""APP1 to APP13, APP15 and comments. APP14 (Adobe) gives the colour transform."""
_AFTER_FILL = re.compile(rb"[^\xff]")


@dataclass(slots=True)
class Jpeg:
    """A JPEG file without metadata; only its header is decoded."""

    image: Image.Image
    scans: int
    """Number of passes over the pixels, at least 1."""
    exif: bytes | None


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
        match = _AFTER_FILL.search(content, position + 1)
        if match is None or content[position] != 0xFF:  # noqa: PLR2004 - begins each marker
            raise ValueError("truncated, or no marker where one is expected")
        marker = match[0][0]
        start = match.start() - 1
        if marker == _START_OF_SCAN:
            kept.append(view[start:])
            break
        body = match.end()
        size = 0 if marker in _STANDALONE else int.from_bytes(content[body : body + 2])
        position = body + size
        if position >= len(content):
            raise ValueError("truncated")
        if marker not in _METADATA:
            kept.append(view[start:position])
        elif exif is None and content[body + 2 : body + 2 + len(IDENTIFIER)] == IDENTIFIER:
            exif = content[body + 2 + len(IDENTIFIER) : position]
    else:
        raise ValueError(f"more than {_MAX_SEGMENTS} segments")
    scans = content.count(b"\xff\xda", start)
    if scans > _MAX_SCANS:
        raise ValueError(f"{scans} scans, at most {_MAX_SCANS} are supported")
    return Jpeg(Image.open(io.BytesIO(b"".join(kept)), formats=["JPEG"]), scans, exif)
