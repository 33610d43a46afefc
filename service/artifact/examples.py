"""A few test images of a bundle, which the playground shows.

Letters: N images, C channels, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from service.artifact.tensor_files import Labels, Pixels, TensorRecord


@dataclass(frozen=True, slots=True)
class Examples(TensorRecord):
    """Test images as the networks receive them."""

    shapes: ClassVar[Mapping[str, str]] = {"images": "NCHW", "labels": "N"}

    images: Pixels
    """(N, C, H, W), 0 to 255."""
    labels: Labels | None = None
    """(N,) class index of each image."""
