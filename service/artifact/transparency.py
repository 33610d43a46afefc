"""Transparent images: the background that shows through."""

import numpy as np
from PIL import Image, ImageChops

_MIN_CONTRAST = 64
"""Levels of 255 by which at least one pixel has to differ from the background."""


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
