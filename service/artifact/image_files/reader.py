"""Image files: identified by their first bytes, opened without decoding, decoded with the work.

Training and service read files by `open_image` and convert them by `service.artifact.pixels`, so
that both accept the same files and receive the same pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from service.artifact.image_files.exif import apply_orientation, parse_orientation, swap_sides
from service.artifact.image_files.jpeg import SIGNATURE as JPEG_SIGNATURE
from service.artifact.image_files.jpeg import parse_jpeg
from service.artifact.image_files.other_formats import OPTIONAL_FORMATS, find_format, open_other
from service.artifact.image_files.png import SIGNATURE as PNG_SIGNATURE
from service.artifact.image_files.png import parse_png
from service.errors import MalformedInputError, UnsupportedFormatError

# Upper bounds on the copies that decoding and the conversion make; a test measures them.
_PNG_BYTES = {"L": 8, "RGB": 10, None: 24}
_JPEG_BYTES = 12
_OTHER_BYTES = 30
_COEFFICIENT_BYTES = 6
"""Memory per pixel of a file of several scans, whose coefficients are decoded before its pixels."""
_SKIPPED_PIXELS = 8
"""Skipped pixels of a single scan that take as long as one that is decoded."""
_MARGIN = 2

# Pillow only warns about large images, and rejects huge ones without naming a limit. The setting
# `max_pixels` rejects both by their headers.
Image.MAX_IMAGE_PIXELS = None


@dataclass(slots=True)
class ImageFile:
    """An opened file; its pixels are not decoded yet."""

    width: int
    """Columns of the upright image."""
    height: int
    """Rows of the upright image."""
    decode: Callable[[], Image.Image]
    """Return the image as it is stored, once; raises Pillow's various errors for invalid pixels."""
    orientation: int = 1
    """Exif orientation of the stored pixels; 1 is upright."""
    has_color: bool = True
    """Whether the pixels may have colour, by the header."""
    scans: int = 1
    """Number of passes over the pixels that decoding takes."""
    pixel_bytes: int = _OTHER_BYTES
    """Memory per pixel, including the copies that the conversion makes."""
    padding: int = 0
    """Pixels outside the image that the decoder takes memory for."""
    draft: Callable[[int, int], tuple[int, int]] | None = None
    """Let the decoder skip pixels; takes the columns and rows that are needed at least, and
    returns those of the result."""
    stored_pixels: int = 0
    """Number of pixels in the file, before `reduce`."""

    def __post_init__(self) -> None:
        """Count the pixels."""
        self.stored_pixels = self.width * self.height + self.padding

    @property
    def pixels(self) -> int:
        """Number of pixels, of which one that the decoder skips counts as an eighth."""
        return max(self.width * self.height + self.padding, self.stored_pixels // _SKIPPED_PIXELS)

    @property
    def passes(self) -> int:
        """Number of pixels times passes over them; a file of several scans skips none."""
        return self.stored_pixels * self.scans if self.scans > 1 else self.pixels

    @property
    def memory(self) -> int:
        """Bytes that decoding and the conversion take, as an upper bound."""
        pixels = (self.width * self.height + self.padding) * self.pixel_bytes
        return pixels + (self.stored_pixels * _COEFFICIENT_BYTES if self.scans > 1 else 0)

    def reduce(self, height: int, width: int) -> None:
        """Decode a JPEG file with an eighth, a quarter or half of its rows and columns.

        The result has at least twice the given sides, so that resizing it to them gives almost
        the same pixels as resizing the whole image. Other files are not reduced.
        """
        if self.draft is None:
            return
        columns, rows = swap_sides(_MARGIN * width, _MARGIN * height, self.orientation)
        self.width, self.height = swap_sides(*self.draft(columns, rows), self.orientation)
        self.draft = None  # a second draft would multiply the first; and it refers to the pixels

    def decode_upright(self) -> Image.Image:
        """Return the image with its orientation applied; raises as `decode`.

        Transparency is alpha, or the entries of a palette; 16-bit grey keeps its 16 bits.
        """
        self.draft = None
        image = self.decode()
        return image if self.orientation == 1 else apply_orientation(image, self.orientation)


def open_image(content: bytes, formats: frozenset[str] = frozenset()) -> ImageFile:
    """Open an image file; nothing is decoded yet.

    Args:
        content: The file.
        formats: The accepted formats other than PNG and JPEG: values of `OPTIONAL_FORMATS`.

    Raises:
        MalformedInputError: the file is damaged.
        UnsupportedFormatError: the file has another format.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            return _open_png(content)
        if content.startswith(JPEG_SIGNATURE):
            return _open_jpeg(content)
        return _open_other(content, formats)
    except (MemoryError, MalformedInputError, UnsupportedFormatError):
        raise
    except Exception as error:
        reason = f": {error}" if type(error) is ValueError else ""
        raise MalformedInputError(f"The image file is damaged{reason}.") from error


def _open_png(content: bytes) -> ImageFile:
    png = parse_png(content)
    orientation = parse_orientation(png.exif)
    width, height = swap_sides(png.width, png.height, orientation)
    pixel_bytes = _PNG_BYTES[png.plain_mode]
    return ImageFile(width, height, png.decode, orientation, png.has_color, pixel_bytes=pixel_bytes)


def _open_jpeg(content: bytes) -> ImageFile:
    jpeg = parse_jpeg(content)
    image = jpeg.image
    orientation = parse_orientation(jpeg.exif)
    width, height = swap_sides(*image.size, orientation)
    decode = [image].pop  # drops the reference to the pixels
    has_color = image.mode != "L"
    file = ImageFile(width, height, decode, orientation, has_color, jpeg.scans, _JPEG_BYTES)
    file.draft = jpeg.draft
    return file


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
    other = open_other(content, name)
    orientation = parse_orientation(other.exif)
    width, height = swap_sides(*other.image.size, orientation)
    decode = [other.image].pop
    return ImageFile(width, height, decode, orientation, other.has_color, padding=other.padding)
