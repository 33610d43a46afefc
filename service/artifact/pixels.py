"""The conversion of images to the input of a bundle, shared by training and serving.

Two implementations would let a model see other pixels in production than in training.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.artifact.manifest import ImageSpec

Invert: TypeAlias = Literal["false", "true", "auto"]

_MODES = {1: "L", 3: "RGB"}


def to_pixels(image: Image.Image, spec: ImageSpec, invert: Invert = "false") -> NDArray[np.uint8]:
    """Convert an image to the channels and size of a bundle.

    In this order: apply the EXIF orientation, scale 16-bit grey to 8 bits, blend transparency
    with the background, convert the channels, invert, resize by `spec.resize`.

    Args:
        image: An opened image of any mode and size.
        spec: The bundle's channels, height, width, resize rule and background.
        invert: `auto` inverts if the mean of the border pixels is over one half, which turns
            dark-on-light drawings into light-on-dark.

    Returns:
        (channels, height, width) uint8, 0 to 255.

    Raises:
        OSError, ValueError, SyntaxError and others that Pillow raises for broken files.
    """
    image.load()  # the orientation may be stored after the pixels
    upright = ImageOps.exif_transpose(image) if image.info else image
    converted = _to_eight_bits(upright) if upright.mode.startswith("I") else upright
    if converted.has_transparency_data:
        converted = _blend_transparency(converted, spec)
    if converted.mode != _MODES[spec.channels]:
        converted = converted.convert(_MODES[spec.channels])
    if invert == "true" or (invert == "auto" and _is_light(converted)):
        converted = ImageOps.invert(converted)
    if converted.size != (spec.width, spec.height):
        converted = _resize(converted, spec)
    pixels = np.frombuffer(converted.tobytes(), np.uint8).reshape(spec.height, spec.width, -1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def has_light_border(image: NDArray[np.floating]) -> bool:
    """Return whether the border of a (..., H, W) image in [0, 1] has a mean over one half."""
    edges = (image[..., 0, :], image[..., -1, :], image[..., :, 0], image[..., :, -1])
    return bool(np.mean([edge.mean() for edge in edges]) > 1 / 2)


def _is_light(image: Image.Image) -> bool:
    pixels = np.atleast_3d(np.asarray(image, dtype=np.float32)) / 255
    return has_light_border(pixels.transpose(2, 0, 1))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's `convert("L")` would clip it at 255."""
    return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))


def _get_background(spec: ImageSpec) -> tuple[int, ...]:
    return tuple(round(255 * value) for value in spec.background)


def _blend_transparency(image: Image.Image, spec: ImageSpec) -> Image.Image:
    background = _get_background(spec)
    opaque = Image.new("RGB", image.size, background * (3 // len(background)))
    layer = image.convert("RGBA")
    opaque.paste(layer, mask=layer.getchannel("A"))
    return opaque


def _resize(image: Image.Image, spec: ImageSpec) -> Image.Image:
    size = (spec.width, spec.height)
    if spec.resize == "stretch":
        return image.resize(size, Image.Resampling.BILINEAR)
    if spec.resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    background = _get_background(spec)
    color = background[0] if len(background) == 1 else background
    return ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=color)
