"""Transparent images: the colour key of a PNG file, and the background that shows through."""

from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageChops

_KEY_FACTORS = {"L;2": (3, 85), "L;4": (15, 17), "L": (255, 1)}
"""Bits and factor of a grey key, by the raw mode of the pixels that Pillow scales to 8 bits."""
_DEEP_RGB = "RGB;16B"
_LOW_BYTES = "RGB;16L"
"""Little-endian: reading big-endian data by it returns the low bytes."""
_MIN_CONTRAST = 64
"""Levels of 255 by which at least one pixel has to differ from the background."""


def decode_with_alpha(image: Image.Image) -> Image.Image:
    """Decode an image, with 16-bit grey scaled to 8 bits and the colour key (tRNS) resolved.

    Pillow scales pixels of 2, 4 and 16 bits to 8 bits and compares them with a key that it does
    not scale, which loses the transparency.

    Raises:
        OSError, ValueError, SyntaxError and others that Pillow raises for broken files.
    """
    raw_mode = _find_raw_mode(image)
    key = image.info.get("transparency")
    low_bytes = None if key is None or raw_mode != _DEEP_RGB else _decode_low_bytes(image)
    image.load()
    if image.mode.startswith("I"):
        return _to_eight_bits(image, key)
    if low_bytes is not None:
        return _apply_deep_key(image, low_bytes, cast("tuple[int, ...]", key))
    if raw_mode in _KEY_FACTORS and isinstance(key, int):
        mask, factor = _KEY_FACTORS[raw_mode]
        image.info["transparency"] = (key & mask) * factor
    return image


def _find_raw_mode(image: Image.Image) -> str | None:
    """Return the form of the pixels in a PNG file that is not decoded yet."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0].args) if image.format == "PNG" and tiles else None


def _to_eight_bits(image: Image.Image, key: object) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's `convert("L")` would clip it at 255."""
    values = np.asarray(image)
    grey = Image.fromarray((values / 257).round().astype(np.uint8))
    return grey if key is None else _merge_alpha(grey, values != key)


def _decode_low_bytes(image: Image.Image) -> Image.Image:
    """Return the low bytes of 16-bit RGB pixels, of which Pillow decodes the high ones only."""
    stream = cast("IO[bytes]", cast("Any", image).fp)
    stream.seek(0)
    low = Image.open(stream, formats=["PNG"])
    low.tile = [low.tile[0]._replace(args=_LOW_BYTES)]
    low.load()
    return low


def _apply_deep_key(image: Image.Image, low: Image.Image, key: tuple[int, ...]) -> Image.Image:
    high_key, low_key = np.divmod(np.array(key, np.uint16), 256)
    is_opaque = (np.asarray(image) != high_key.astype(np.uint8)).any(axis=-1)
    is_opaque |= (np.asarray(low) != low_key.astype(np.uint8)).any(axis=-1)
    return _merge_alpha(image, is_opaque)


def _merge_alpha(image: Image.Image, is_opaque: object) -> Image.Image:
    alpha = Image.fromarray(np.asarray(is_opaque, np.uint8) * np.uint8(255))
    return Image.merge(f"{image.mode}A", (*image.split(), alpha))


def blend_transparency(image: Image.Image, mode: str, background: tuple[int, ...]) -> Image.Image:
    """Blend an image with transparency and the background.

    Black ink on a transparent canvas would vanish on a black background. If an image has fully
    transparent pixels and no pixel of the result differs from the background by a quarter of the
    range, it is blended with the opposite of the background, white or black, provided that this
    shows more.

    Args:
        image: An image of any mode with transparency.
        mode: `L` or `RGB`, the mode of the result.
        background: One value or three, 0 to 255.
    """
    layer = image.convert("RGBA")
    blended = _blend(layer, background).convert(mode)
    contrast = _measure_contrast(blended, background)
    if contrast < _MIN_CONTRAST and layer.getchannel("A").getextrema()[0] == 0:
        opposite = (0 if sum(background) > len(background) * 255 / 2 else 255,)
        alternative = _blend(layer, opposite).convert(mode)
        if _measure_contrast(alternative, opposite) > contrast:
            return alternative
    return blended


def _blend(layer: Image.Image, background: tuple[int, ...]) -> Image.Image:
    opaque = Image.new("RGB", layer.size, background * (3 // len(background)))
    opaque.paste(layer, mask=layer.getchannel("A"))
    return opaque


def _measure_contrast(image: Image.Image, background: tuple[int, ...]) -> int:
    """Return the largest difference of a channel of a pixel from the background."""
    channels = len(image.getbands())
    color = background if len(background) == channels else background * channels
    plain = Image.new(image.mode, image.size, color if channels > 1 else color[0])
    extrema = ImageChops.difference(image, plain).getextrema()
    return int(np.max(extrema))
