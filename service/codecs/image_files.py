"""Image files: identified by their first bytes, opened without decoding, decoded with the work."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from service.artifact.exif import apply_orientation, parse_orientation
from service.codecs.jpeg import SIGNATURE as JPEG_SIGNATURE
from service.codecs.jpeg import parse_jpeg
from service.codecs.other_formats import OPTIONAL_FORMATS, find_format, open_other
from service.codecs.png import SIGNATURE as PNG_SIGNATURE
from service.codecs.png import parse_png
from service.errors import MalformedInputError, UnsupportedFormatError

# Estimates from the copies that the conversion makes.
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

    def decode_upright(self) -> Image.Image:
        """Return the image with its orientation applied; raises as `decode`."""
        image = self.decode()
        return image if self.orientation == 1 else apply_orientation(image, self.orientation)


def open_image(content: bytes, formats: frozenset[str] = frozenset()) -> ImageFile:
    """Open an image file; nothing is decoded yet.

    Args:
        content: The file.
        formats: The accepted formats other than PNG and JPEG (setting `image_formats`).

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
        return _open_other(content, formats)
    except (MemoryError, MalformedInputError, UnsupportedFormatError):
        raise
    except Exception as error:
        reason = f": {error}" if type(error) is ValueError else ""
        raise MalformedInputError(f"The image file is damaged{reason}.") from error


def _open_other(content: bytes, formats: frozenset[str]) -> ImageFile:
    """Open a file that is neither PNG nor JPEG; raises as `open_image`."""
    name = find_format(content)
    if name is None:
        raise MalformedInputError("The content is not a PNG or JPEG file.")
    if name not in OPTIONAL_FORMATS or OPTIONAL_FORMATS[name] not in formats:
        supported = ", ".join(["PNG", "JPEG", *sorted(formats)])
        hint = " (setting LATENTD_IMAGE_FORMATS)" if name in OPTIONAL_FORMATS else ""
        raise UnsupportedFormatError(
            f"Unsupported image format {name}; supported: {supported}{hint}."
        )
    image, width, height = open_other(content, name)
    return ImageFile(width, height, [image].pop)


def open_base64(text: str, formats: frozenset[str] = frozenset()) -> ImageFile:
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
    return open_image(content, formats)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        digits = text.translate(_TO_STANDARD_BASE64).rstrip("=")
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
