"""Images with optional labels, and their split into training, validation and test images.

N images of C x H x W; pixels are uint8, 0 to 255; labels are int64 class indices.
"""

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.artifact import ImageSpec
from training.randomness import derive_seed32

Pixels: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]

MIN_IMAGES = 20
_MIN_TO_HOLD_OUT = 3
"""A class with fewer images is in the training split only."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images in arbitrary order."""

    pixels: Pixels
    """(N, C, H, W)."""
    labels: Labels | None
    """(N,); None for a data set without classes."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.pixels)

    def take(self, indices: NDArray[np.int64]) -> "LabelledImages":
        """Return a copy of the images at `indices`."""
        labels = None if self.labels is None else self.labels[indices]
        return LabelledImages(np.ascontiguousarray(self.pixels[indices]), labels)


@dataclass(frozen=True, slots=True)
class Defects:
    """Test images of kinds that are not in the training images, to detect (MVTec's layout)."""

    pixels: Pixels
    """(N, C, H, W)."""
    kinds: tuple[str, ...]
    """The kind of defect of each image."""


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set split into three parts. Only `evaluation` reads `test`."""

    dataset: str
    """The data set's name; never a path."""
    image: ImageSpec
    classes: tuple[str, ...] | None
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    notes: tuple[str, ...] = ()
    """The summary of what was read, one line each."""
    defects: Defects | None = None

    def count(self) -> dict[str, int]:
        """Return the number of images in each split."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }

    def digest(self) -> str:
        """Return the SHA-256, in hex, of the pixels and labels of the three splits."""
        total = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            total.update(repr(split.pixels.shape).encode())
            for start in range(0, len(split), 1024):  # in chunks: pixels may be a memory map
                total.update(split.pixels[start : start + 1024].tobytes())
            if split.labels is not None:
                total.update(split.labels.astype("<i8").tobytes())
        return total.hexdigest()


def hold_out(
    count: int, labels: Labels | None, fraction: float, seed: int, purpose: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split `count` images at random into kept and held-out ones.

    Args:
        count: Number of images.
        labels: (count,) to stratify by, or None.
        fraction: Share to hold out, (0, 0.5]; at least one image of each class that has three.
        seed: The recipe's seed.
        purpose: Name of the held-out part, which makes two splits independent.

    Returns:
        The kept and the held-out indices, each in ascending order.
    """
    candidates = np.arange(count)
    if labels is not None:
        _, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        candidates = np.flatnonzero(sizes[members] >= _MIN_TO_HOLD_OUT)
    if not len(candidates):  # only tiny classes: a class may then be missing from a split
        candidates, labels = np.arange(count), None
    known = None if labels is None else labels[candidates]
    classes = 1 if known is None else len(np.unique(known))
    _, held = train_test_split(
        candidates,
        test_size=max(round(fraction * len(candidates)), classes),
        stratify=known,
        random_state=derive_seed32(seed, "split", purpose),
    )
    held = np.sort(held)
    return np.setdiff1d(np.arange(count), held), held
