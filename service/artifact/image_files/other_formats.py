"""Image files other than PNG and JPEG, which callers enable.

Only the first frame is read. Pillow's reader of each format is selected by name, so that a file
cannot select another one.
"""

import io
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image

from service.errors import UnsupportedFormatError

OPTIONAL_FORMATS = {
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tiff",
    "TIFF (big-endian)": "tiff",
    "WebP": "webp",
    "AVIF": "avif",
    "HEIF": "heif",
}
"""The value that enables a format, by its name."""
ALL_FORMATS = frozenset(OPTIONAL_FORMATS.values())
OPTIONAL_TYPES = frozenset(
    {"image/gif", "image/bmp", "image/x-ms-bmp", "image/tiff", "image/webp", "image/avif"}
    | {"image/heic", "image/heif"}
)
_SIGNATURES = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "TIFF": (0, b"II*\x00"),
    "TIFF (big-endian)": (0, b"MM\x00*"),
    "WebP": (8, b"WEBP"),
    "HEIF": (4, b"ftyp"),
    "JPEG 2000": (4, b"jP  "),
    "ICO": (0, b"\x00\x00\x01\x00"),
    "PSD": (0, b"8BPS"),
    "PostScript": (0, b"%!PS"),
    "PDF": (0, b"%PDF"),
    "SVG": (0, b"<svg"),
    "XML": (0, b"<?xml"),
    "FITS": (0, b"SIMPLE"),
}
_AVIF_BRANDS = (b"avif", b"avis")
_GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L"})
_DEEP_MODES = frozenset({"F", "I"})
_TIFF_SIDES = ((256, 322), (257, 323))
"""Tags of the columns and of the rows: of the image, and of a tile."""


@dataclass(frozen=True, slots=True)
class OtherFile:
    """An opened file; its pixels are not decoded yet."""

    image: Image.Image
    exif: bytes | None
    """Metadata whose orientation Pillow does not apply."""
    has_color: bool
    padding: int
    """Pixels outside the image that the decoder takes memory for."""


def find_format(content: bytes) -> str | None:
    """Return the name of the format of a file that is not PNG or JPEG; None if it is unknown."""
    for name, (offset, mark) in _SIGNATURES.items():
        if content[offset : offset + len(mark)] == mark:
            return "AVIF" if name == "HEIF" and _is_avif(content) else name
    return None


def _is_avif(content: bytes) -> bool:
    """Return whether AVIF is among the brands of an ISO media file (ISO 14496-12, 4.3)."""
    brands = content[8 : int.from_bytes(content[:4])]
    return any(brands[start : start + 4] in _AVIF_BRANDS for start in range(0, len(brands), 4))


def open_other(content: bytes, name: str) -> OtherFile:
    """Open a file of an enabled format; its pixels are not decoded yet.

    Args:
        content: The file.
        name: A key of `OPTIONAL_FORMATS`.

    Raises:
        UnsupportedFormatError: the pixels have more than 16 bits per channel, or a library is
            missing.
        Exception: Pillow's various errors for an invalid header.
    """
    if name == "HEIF":
        _register_heif()
    image = Image.open(io.BytesIO(content), formats=[OPTIONAL_FORMATS[name].upper()])
    if image.mode in _DEEP_MODES:
        raise UnsupportedFormatError(
            f"Unsupported {name} pixels (Pillow's mode {image.mode}); supported: at most 16 bits "
            "per channel, unsigned."
        )
    has_color = image.mode not in _GREY_MODES
    if image.format != "TIFF":
        return OtherFile(image, image.info.get("exif"), has_color, 0)
    tags = cast("Any", image).tag_v2
    columns, rows = (_round_up(tags[side], tags.get(tile)) for side, tile in _TIFF_SIDES)
    # Pillow applies the orientation of TIFF files.
    return OtherFile(image, None, has_color, columns * rows - image.width * image.height)


def _register_heif() -> None:
    """Let Pillow read HEIC files; the library applies their orientation."""
    try:
        import pillow_heif  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnsupportedFormatError(
            "HEIC files need the library pillow-heif; install it with: pip install 'latentd[heic]'."
        ) from error
    pillow_heif.register_heif_opener()


def _round_up(size: int, tile: object) -> int:
    """Round a side up to whole tiles, for which the decoder takes memory."""
    return -(-size // tile) * tile if isinstance(tile, int) and tile > 0 else size
