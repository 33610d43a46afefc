"""Image files: identified by their first bytes, opened without decoding, decoded with the work."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from service.artifact.exif import apply_orientation, parse_orientation
from service.codecs.jpeg import SIGNATURE as JPEG_SIGNATURE
from service.codecs.jpeg import parse_jpeg
from service.codecs.png import SIGNATURE as PNG_SIGNATURE
from service.codecs.png import parse_png
from service.errors import MalformedInputError, UnsupportedFormatError

_UNSUPPORTED = {
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

# Measured as the growth of resident memory per pixel, rounded up.
_PNG_BYTES = {"L": 4, "RGB": 10, None: 22}
_JPEG_BYTES = 12
_TO_STANDARD_BASE64 = str.maketrans({"-": "+", "_": "/", **dict.fromkeys(" \t\r\n")})

# Pillow only warns about large images, and rejects huge ones without naming a limit. The setting
# `max_pixels` rejects both by their headers.
Image.MAX_IMAGE_PIXELS = None


@dataclass(slots=True)
class ImageFile:
    """An opened file; its pixels are not decoded yet."""

    width: int
    height: int
    decode: Callable[[], Image.Image]
    """Return the image, once; raises Pillow's various errors for invalid pixels."""
    scans: int = 1
    """Number of passes over the pixels that decoding takes."""
    orientation: int = 1
    """Exif orientation; 1 is upright."""
    pixel_bytes: int = 22
    """Memory per pixel, including the copies that the conversion makes."""

    @property
    def decoding_bytes(self) -> int:
        """Memory that the decoded image takes."""
        return self.width * self.height * self.pixel_bytes

    def decode_upright(self) -> Image.Image:
        """Return the image with its orientation applied; raises as `decode`."""
        image = self.decode()
        return image if self.orientation == 1 else apply_orientation(image, self.orientation)


def open_image(content: bytes) -> ImageFile:
    """Open a PNG or JPEG file; nothing is decoded yet.

    Raises:
        MalformedInputError: the file is damaged.
        UnsupportedFormatError: the file has another format.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            png = parse_png(content)
            orientation = 1 if png.exif is None else parse_orientation(png.exif)
            pixel_bytes = _PNG_BYTES[png.plain_mode]
            return ImageFile(png.width, png.height, png.decode, 1, orientation, pixel_bytes)
        if content.startswith(JPEG_SIGNATURE):
            jpeg = parse_jpeg(content)
            image = jpeg.image
            orientation = parse_orientation(jpeg.exif)
            decode = [image].pop  # drops the reference to the pixels
            return ImageFile(
                image.width, image.height, decode, jpeg.scans, orientation, _JPEG_BYTES
            )
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:
        reason = f": {error}" if type(error) is ValueError else ""
        raise MalformedInputError(f"The image file is damaged{reason}.") from error
    for name, (offset, mark) in _UNSUPPORTED.items():
        if content[offset : offset + len(mark)] == mark:
            raise UnsupportedFormatError(f"Unsupported image format {name}; supported: PNG, JPEG.")
    raise MalformedInputError("The content is not a PNG or JPEG file.")


def open_base64(text: str) -> ImageFile:
    """Open an image file in base64, or in a `data:` URL of base64.

    Both alphabets are accepted (RFC 4648, sections 4 and 5), line breaks within the text, and
    missing padding.

    Raises:
        MalformedInputError: the text is not base64, or the file is damaged.
        UnsupportedFormatError: the file has another format.
    """
    head, separator, rest = text.partition(",")
    encoded = rest if separator and head.startswith("data:") else text
    try:
        content = _decode_base64(encoded)
    except (binascii.Error, ValueError) as error:
        raise MalformedInputError(
            "Expected a PNG or JPEG file in base64; URLs are not fetched."
        ) from error
    return open_image(content)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        digits = text.translate(_TO_STANDARD_BASE64).rstrip("=")
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
