"""The forms in which a network takes and returns images: order of dimensions, and pixel range.

The service's images are (N, C, H, W) float32 in [0, 1]. A network may have another order, a flat
vector, and other pixel values. Every conversion exists twice: in NumPy here, to call the original
network, and as ONNX nodes in `wrapping`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from training.errors import ModelImportError

Floats: TypeAlias = NDArray[np.float32]
Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W)."""
Order: TypeAlias = Literal["nchw", "nhwc", "nhw", "flat-nchw", "flat-nhwc"]
"""`nhw`: grey images without a channel dimension; `flat-...`: (N, C * H * W)."""

ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, slots=True)
class Layout:
    """The order of an image tensor's dimensions."""

    order: Order
    image: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape without the batch dimension."""
        channels, height, width = self.image
        if self.order.startswith("flat"):
            return (math.prod(self.image),)
        if self.order == "nhw":
            return (height, width)
        return self.image if self.order == "nchw" else (height, width, channels)

    @property
    def is_channels_last(self) -> bool:
        """Whether the channels follow height and width."""
        return self.order in {"nhwc", "flat-nhwc"}

    def to_network(self, images: Floats) -> Floats:
        """Convert (N, C, H, W) into the network's order."""
        ordered = images.transpose(0, 2, 3, 1) if self.is_channels_last else images
        return np.ascontiguousarray(ordered.reshape(len(images), *self.shape))

    def from_network(self, tensor: Floats) -> Floats:
        """Convert the network's order into (N, C, H, W)."""
        channels, height, width = self.image
        if self.is_channels_last:
            return tensor.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
        return tensor.reshape(-1, channels, height, width)


@dataclass(frozen=True, slots=True)
class PixelScale:
    """Pixel values of a network: `(value - mean) / deviation` for a value in [0, 1]."""

    name: str
    """As in the flag `--pixels`."""
    mean: tuple[float, ...] = (0.0,)
    """One number, or one per channel."""
    deviation: tuple[float, ...] = (1.0,)

    @property
    def is_identity(self) -> bool:
        """Whether the network takes values in [0, 1]."""
        return not any(self.mean) and all(value == 1 for value in self.deviation)

    def to_network(self, images: Floats) -> Floats:
        """Convert pixels in [0, 1], (N, C, H, W), into the network's values."""
        return ((images - _column(self.mean)) / _column(self.deviation)).astype(np.float32)

    def from_network(self, images: Floats) -> Floats:
        """Convert the network's values, (N, C, H, W), into pixels, clipped to [0, 1]."""
        pixels = images * _column(self.deviation) + _column(self.mean)
        return pixels.clip(0, 1).astype(np.float32)


UNIT = PixelScale("0..1")
SYMMETRIC = PixelScale("-1..1", (0.5,), (0.5,))
BYTES = PixelScale("0..255", (0.0,), (1 / 255,))
IMAGENET = PixelScale(
    "0.485,0.456,0.406,0.229,0.224,0.225", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)
"""The channel means and deviations of torchvision's classifiers."""
_NAMED = {scale.name: scale for scale in (UNIT, SYMMETRIC, BYTES)}


def list_scales(channels: int) -> list[PixelScale]:
    """Return the scales to try for images with this number of channels."""
    return [*_NAMED.values(), *([IMAGENET] if len(IMAGENET.mean) == channels else [])]


def parse_scale(text: str) -> PixelScale:
    """Parse `0..1`, `-1..1`, `0..255`, `MEAN,STD` or the means and deviations of three channels.

    Raises:
        ModelImportError: the text is none of these.
    """
    if text in _NAMED:
        return _NAMED[text]
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    half = len(numbers) // 2
    if len(numbers) not in {2, 6} or not all(value > 0 for value in numbers[half:]):
        raise ModelImportError(
            f"Invalid pixels {text!r}: expected 0..1, -1..1, 0..255, MEAN,STD or "
            "MEAN,MEAN,MEAN,STD,STD,STD for pixels in [0, 1], each STD greater than 0"
        )
    return PixelScale(text, numbers[:half], numbers[half:])


def _column(values: tuple[float, ...]) -> Floats:
    """Return channel values that broadcast over (N, C, H, W)."""
    return np.array(values, np.float32).reshape(-1, 1, 1)
