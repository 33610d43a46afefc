"""The conversion of images to the input of a bundle, shared by training and serving.

Two implementations would let a model see other pixels in production than in training.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.artifact.image_files.color_key import scale_to_bytes
from service.artifact.levels import to_light_on_dark
from service.artifact.specs import ImageSpec
from service.artifact.transparency import blend_transparency

Invert: TypeAlias = Literal["false", "true", "auto"]

_MODES = {1: "L", 3: "RGB"}
_WHITE = np.float32(255)


def to_pixels(image: Image.Image, spec: ImageSpec, invert: Invert = "false") -> NDArray[np.uint8]:
    """Convert an image to the channels and size of a bundle.

    In this order: scale 16-bit grey to 8 bits by the bundle's levels, blend transparency with the
    background, convert the channels, resize, invert, pad.

    Args:
        image: An upright image of any mode and size: of a file, what
            `service.artifact.image_files.ImageFile.decode_upright` returns.
        spec: The bundle's channels, height, width, resize rule and background.
        invert: `auto` turns dark-on-light drawings into light-on-dark and stretches the levels of
            paper and ink; see `service.artifact.levels.to_light_on_dark`.

    Returns:
        (channels, height, width) uint8, 0 to 255.

    Raises:
        OSError, ValueError, SyntaxError and others that Pillow raises for broken files.
    """
    converted = _scale_levels(image, spec.levels) if image.mode.startswith("I") else image
    mode = _MODES[spec.channels]
    if converted.has_transparency_data:
        converted = blend_transparency(converted, mode, _get_background(spec))
    if converted.mode != mode:
        converted = converted.convert(mode)
    if converted.size != (spec.width, spec.height):
        converted = _resize(converted, spec)
    if invert == "true":
        converted = ImageOps.invert(converted)
    pixels = np.frombuffer(converted.tobytes(), np.uint8)
    pixels = pixels.reshape(converted.height, converted.width, -1).transpose(2, 0, 1)
    if invert == "auto":
        light = to_light_on_dark(pixels.astype(np.float32) / _WHITE)
        pixels = np.rint(light * _WHITE).astype(np.uint8)
    if pixels.shape[1:] != (spec.height, spec.width):
        pixels = _pad(pixels, spec)
    return np.ascontiguousarray(pixels)


def _scale_levels(image: Image.Image, levels: tuple[int, int] | None) -> Image.Image:
    """Return 16-bit grey as 8-bit grey, with `levels` as black and white."""
    if levels is None:
        return scale_to_bytes(image)
    low, high = levels
    scaled = (np.asarray(image).astype(np.float32) - low) * (_WHITE / (high - low))
    return Image.fromarray(scaled.clip(0, _WHITE).round().astype(np.uint8))


def _get_background(spec: ImageSpec) -> tuple[int, ...]:
    return tuple(round(255 * value) for value in spec.background)


def _resize(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """Resize an image; with the rule `pad` it keeps its aspect, and no side becomes 0."""
    size = (spec.width, spec.height)
    if spec.resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if spec.resize == "pad":
        if image.width / image.height > spec.width / spec.height:
            size = (spec.width, max(1, round(image.height / image.width * spec.width)))
        else:
            size = (max(1, round(image.width / image.height * spec.height)), spec.height)
    return image.resize(size, Image.Resampling.BILINEAR)


def _pad(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Center an image on the background."""
    _, height, width = pixels.shape
    padded = np.empty(spec.shape, np.uint8)
    padded[:] = np.array(_get_background(spec), np.uint8)[:, None, None]
    top, left = round((spec.height - height) / 2), round((spec.width - width) / 2)
    padded[:, top : top + height, left : left + width] = pixels
    return padded
