"""The colour key of a PNG file (tRNS): one grey level or one colour that is transparent.

Pillow scales pixels to 8 bits and compares them with a key that it does not scale, which loses the
transparency. Here keys and pixels have the same depth.
"""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_DEEP = 16
_CHANNELS = {0: 1, 2: 3}
"""Channels of the colour types that have a key: grey and RGB."""


def parse_color_key(content: bytes, color_type: int, depth: int) -> tuple[int, ...] | None:
    """Return one level per channel, 0 to 2^depth - 1; None if the content is no key of the type."""
    channels = _CHANNELS.get(color_type)
    if channels is None or len(content) != 2 * channels:
        return None
    return tuple(level & (1 << depth) - 1 for level in struct.unpack(f">{channels}H", content))


def apply_grey_key(image: Image.Image, key: int, depth: int) -> Image.Image:
    """Return grey pixels with the key transparent.

    Args:
        image: Pixels as Pillow decodes them: 1-bit, 8-bit or, of a depth of 16, 16-bit.
        key: The transparent level, 0 to 2^depth - 1.
        depth: Bits of a pixel in the file.

    Returns:
        Mode `LA`.
    """
    if depth == _DEEP:
        return _merge_alpha(scale_to_bytes(image), np.asarray(image) != key)
    grey = image.convert("L")
    return _merge_alpha(grey, np.asarray(grey) != key * (255 // ((1 << depth) - 1)))


def apply_rgb_key(
    image: Image.Image, key: tuple[int, ...], low_bytes: Image.Image | None
) -> Image.Image:
    """Return RGB pixels with the key transparent.

    Args:
        image: The pixels; of a depth of 16 their high bytes.
        key: The transparent colour.
        low_bytes: The low bytes of the pixels, for a depth of 16.

    Returns:
        Mode `RGBA`.
    """
    if low_bytes is None:
        return _merge_alpha(image, _differs(image, key))
    high, low = (tuple(level >> shift & 255 for level in key) for shift in (8, 0))
    return _merge_alpha(image, _differs(image, high) | _differs(low_bytes, low))


def scale_to_bytes(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit grey; Pillow's `convert("L")` clips it at 255."""
    return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))


def _differs(image: Image.Image, color: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return whether each pixel (H, W) of an RGB image differs from a colour."""
    differs: NDArray[np.bool_] = np.any(np.asarray(image) != np.array(color), axis=-1)
    return differs


def _merge_alpha(image: Image.Image, is_opaque: NDArray[np.bool_]) -> Image.Image:
    alpha = Image.fromarray(is_opaque.astype(np.uint8) * np.uint8(255))
    return Image.merge(f"{image.mode}A", (*image.split(), alpha))
