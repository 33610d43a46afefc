"""The distance to the most similar training images, at a low resolution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.artifact.detectors.base import Measurement, Outputs, StoredDetector
from service.artifact.tensor_files import Floats, Pixels
from service.errors import ArtifactError

_MAX_SIDE = 16
_NEIGHBOURS = 3
_WHITE = np.float32(255)


@dataclass(frozen=True, slots=True)
class NeighbourDetector(StoredDetector):
    """Root mean square distance to the nearest of M reduced training images.

    Ramaswamy et al., Efficient Algorithms for Mining Outliers from Large Data Sets, 2000. Low
    resolution makes the distance tolerant of small shifts.
    """

    shapes: ClassVar[Mapping[str, str]] = {"neighbours": "MD"}

    neighbours: Pixels
    """(M, D) images as `reduce_images` returns them, 0 to 255."""

    def check_fit(self, shape: tuple[int, int, int]) -> None:
        """See `StoredDetector.check_fit`."""
        size = reduce_images(np.zeros((1, *shape), np.float32)).shape[1]
        if self.neighbours.shape[1] != size:
            raise ArtifactError(
                f"expected neighbours of {size} numbers for images of {shape}, "
                f"got {self.neighbours.shape[1]}"
            )

    def measure(self, images: Floats, outputs: Outputs) -> Measurement:  # noqa: ARG002 - no network
        """See `StoredDetector.measure`."""
        codes, known = reduce_images(images), self.neighbours.astype(np.float32) / _WHITE
        squares = np.square(known).sum(axis=1) - 2 * codes @ known.T
        squares += np.square(codes).sum(axis=1, keepdims=True)
        count = min(_NEIGHBOURS, len(known))
        nearest = np.partition(squares, count - 1, axis=1)[:, :count].mean(axis=1)
        scores = np.sqrt(np.maximum(nearest, 0) / codes.shape[1])
        return Measurement(scores.astype(np.float32))


def reduce_images(images: Floats) -> Floats:
    """Return the means of square blocks of images (N, C, H, W): (N, D), at most 16 blocks a side.

    Rows and columns that fill no block at the right and at the bottom are left out.
    """
    count, channels, height, width = images.shape
    block = -(-max(height, width) // _MAX_SIDE)
    rows, columns = max(1, height // block), max(1, width // block)
    cut = images[:, :, : rows * block, : columns * block]
    tall, wide = cut.shape[2] // rows, cut.shape[3] // columns
    blocks = cut.reshape(count, channels, rows, tall, columns, wide)
    reduced: Floats = blocks.mean(axis=(3, 5)).reshape(count, -1)
    return reduced
