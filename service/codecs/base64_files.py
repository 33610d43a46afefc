"""Image files in base64, as they are sent inside JSON."""

import base64
import binascii

from service.artifact.image_files import ImageFile, open_image
from service.errors import MalformedInputError

_TO_STANDARD_ALPHABET = str.maketrans({"-": "+", "_": "/", **dict.fromkeys(" \t\r\n")})


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
        content = _decode(encoded)
    except (binascii.Error, ValueError) as error:
        raise MalformedInputError(
            "Expected a PNG or JPEG file in base64; URLs are not fetched."
        ) from error
    return open_image(content, formats)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        digits = text.translate(_TO_STANDARD_ALPHABET).rstrip("=")
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
