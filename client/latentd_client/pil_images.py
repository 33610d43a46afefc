"""PIL images of any mode, as PNG files from which the service reads the same pixels."""

import io
from typing import TypeAlias

from PIL import ExifTags, Image

Transparency: TypeAlias = int | tuple[int, int, int] | bytes | None
"""The transparent grey level or colour; of a palette, the alpha of each entry."""

_PNG_MODES = {
    **{mode: mode for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **dict.fromkeys(("I", "I;16B", "I;16L", "I;16N"), "I;16"),
    "F": "L",
    "La": "LA",
    **dict.fromkeys(("PA", "RGBa"), "RGBA"),
}
"""The mode in which a PIL mode is saved; the others (CMYK, YCbCr, LAB, HSV, RGBX) become RGB."""

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation. `ImageOps.exif_transpose` also rewrites the EXIF data, which fails for an
image with intact pixels and, for example, the resolution -1/0."""

_LEVEL_FACTORS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
"""Factor from a sample of a PNG file to Pillow's 8 bits, by Pillow's name of the file's format."""

_JPEG_FORMATS = frozenset({"JPEG", "MPO"})
_COMPRESSION = 1  # on a 12-megapixel photo a quarter of the default's time, for 19 % more bytes


def to_file(image: Image.Image) -> bytes:
    """Return a PIL image as an image file.

    A JPEG file that PIL has opened and not decoded yet is returned unchanged: it is smaller than a
    PNG file, and the service reads the same pixels of it as if it were sent without PIL.
    """
    return _read_original(image) or to_png(image)


def _read_original(image: Image.Image) -> bytes | None:
    """Return the file of a JPEG image whose pixels are still those of the file."""
    stream = getattr(image, "fp", None)
    is_decoded = not getattr(image, "tile", [])
    is_reduced = bool(getattr(image, "decoderconfig", ()))  # by `Image.draft`
    if image.format not in _JPEG_FORMATS or stream is None or is_decoded or is_reduced:
        return None
    if image.tell() != 0:  # a later picture of a multi-picture file
        return None
    position = stream.tell()
    stream.seek(0)
    content: bytes = stream.read()
    stream.seek(position)
    return content


def to_png(image: Image.Image) -> bytes:
    """Return a PIL image as a PNG file, with its EXIF orientation applied.

    Modes that PNG supports are saved without loss, including transparency. The others are
    converted as Pillow converts them: CMYK, YCbCr, LAB and HSV to RGB; PA, La and RGBa to straight
    alpha; I is clipped to [0, 65535]; F is clipped to [0, 255] and truncated. An animation gives
    its current frame. Metadata and colour profiles are omitted, because the service ignores them.
    """
    factor = _find_level_factor(image)
    image.load()  # also reads EXIF data that follows the pixels of a PNG file
    converted = _convert(_apply_orientation(image))
    stream = io.BytesIO()
    converted.save(
        stream,
        "PNG",
        transparency=_scale(converted.info.get("transparency"), factor),
        icc_profile=None,
        compress_level=_COMPRESSION,
    )
    return stream.getvalue()


def _find_level_factor(image: Image.Image) -> float:
    """Return the factor for a transparent level, which Pillow reports in the file's own depth.

    Only an image that is not loaded yet reveals that depth.
    """
    tiles = getattr(image, "tile", [])
    if image.format != "PNG" or not tiles:
        return 1
    _codec, _extents, _offset, file_format = tiles[0]
    return _LEVEL_FACTORS.get(file_format, 1)


def _scale(transparency: Transparency, factor: float) -> Transparency:
    if isinstance(transparency, int):
        return int(transparency * factor)
    if isinstance(transparency, tuple):
        red, green, blue = (int(level * factor) for level in transparency)
        return red, green, blue
    return transparency


def _apply_orientation(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - broken EXIF data raises many types; the pixels are intact
        return image
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def _convert(image: Image.Image) -> Image.Image:
    mode = _PNG_MODES.get(image.mode, "RGB")
    if image.mode == mode:
        return image
    if mode == "I;16":
        image = image.convert("I")  # a direct conversion between 16-bit modes clips to 8 bits
    return image.convert(mode)
