"""Image files other than PNG and JPEG, which the setting `image_formats` enables.

Only the first frame is read. Pillow's reader of each format is selected by name, so that a file
cannot select another one.
"""

import io
from typing import Any, cast

from PIL import Image

from service.errors import UnsupportedFormatError

OPTIONAL_FORMATS = {
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tiff",
    "TIFF (big-endian)": "tiff",
    "WebP": "webp",
}
"""The setting's value by the name of a format."""
OPTIONAL_TYPES = frozenset({"image/gif", "image/bmp", "image/x-ms-bmp", "image/tiff", "image/webp"})
_SIGNATURES = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "TIFF": (0, b"II*\x00"),
    "TIFF (big-endian)": (0, b"MM\x00*"),
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
_DEEP_MODES = frozenset({"F", "I"})
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def find_format(content: bytes) -> str | None:
    """Return the name of the format of a file that is not PNG or JPEG; None if it is unknown."""
    for name, (offset, mark) in _SIGNATURES.items():
        if content[offset : offset + len(mark)] == mark:
            return name
    return None


def open_other(content: bytes, name: str) -> tuple[Image.Image, int, int]:
    """Open a file of an enabled format; its pixels are not decoded yet.

    Args:
        content: The file.
        name: A key of `OPTIONAL_FORMATS`.

    Returns:
        The image, and the columns and rows that its decoder takes memory for.

    Raises:
        UnsupportedFormatError: the pixels have more than 16 bits per channel.
        Exception: Pillow's various errors for an invalid header.
    """
    image = Image.open(io.BytesIO(content), formats=[OPTIONAL_FORMATS[name].upper()])
    if image.mode in _DEEP_MODES:
        raise UnsupportedFormatError(
            f"Unsupported {name} pixels (Pillow's mode {image.mode}); supported: at most 16 bits "
            "per channel, unsigned."
        )
    width, height = image.size
    if image.format == "TIFF":
        tags = cast("Any", image).tag_v2
        width = _round_up(width, tags.get(_TILE_WIDTH))
        height = _round_up(height, tags.get(_TILE_LENGTH))
    return image, width, height


def _round_up(size: int, tile: object) -> int:
    """Round a side up to whole tiles, for which the decoder takes memory."""
    return -(-size // tile) * tile if isinstance(tile, int) and tile > 0 else size
