"""Images with or without labels, and their division into training, validation and test.

N images of C x H x W; pixels are uint8, 0 to 255; labels are int64 class indices.
"""

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.artifact import ImageSpec
from training.errors import DataError
from training.randomness import derive_seed

Pixels: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]

LEAST_IMAGES = 20
LEAST_IMAGES_A_CLASS = 5


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Some images, in no order that means anything."""

    pixels: Pixels
    """(N, C, H, W)."""
    labels: Labels | None
    """(N,); None where the data set has no classes."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.pixels)

    def take(self, indices: NDArray[np.int64]) -> "LabelledImages":
        """Return the images at `indices`, copied."""
        labels = None if self.labels is None else self.labels[indices]
        return LabelledImages(np.ascontiguousarray(self.pixels[indices]), labels)


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set, divided; only the evaluation looks at `test`."""

    dataset: str
    """The data set's name: never a path."""
    image: ImageSpec
    classes: tuple[str, ...] | None
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    notes: tuple[str, ...] = ()
    """What the reader should tell the person who started it, a line each."""

    def count(self) -> dict[str, int]:
        """Return the number of images in each split."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }

    def digest(self) -> str:
        """Return the sha256, in hex, over the pixels and labels of the three splits."""
        total = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            total.update(repr(split.pixels.shape).encode())
            for start in range(0, len(split), 1024):  # by parts: pixels may be a memory map
                total.update(split.pixels[start : start + 1024].tobytes())
            if split.labels is not None:
                total.update(split.labels.astype("<i8").tobytes())
        return total.hexdigest()


def hold_out(
    count: int, labels: Labels | None, fraction: float, seed: int, purpose: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide `count` images into those kept and those held out, by seed.

    Args:
        count: Number of images.
        labels: (count,) to hold out the same share of each class, or None.
        fraction: Share to hold out, (0, 0.5].
        seed: The recipe's seed.
        purpose: What is held out, so that two divisions are independent.

    Returns:
        The indices kept and the indices held out, in ascending order.
    """
    classes = 1 if labels is None else len(np.unique(labels))
    kept, held = train_test_split(
        np.arange(count),
        test_size=max(round(fraction * count), classes),
        stratify=labels,
        random_state=derive_seed(seed, "split", purpose) % 2**32,
    )
    return np.sort(kept), np.sort(held)


def check_count(count: int, labels: Labels | None) -> None:
    """Refuse a data set that cannot be divided.

    Raises:
        DataError: there are too few images, at all or of a class.
    """
    if count < LEAST_IMAGES:
        raise DataError(f"{count} images are too few: at least {LEAST_IMAGES} are needed")
    fewest = count if labels is None else int(np.unique(labels, return_counts=True)[1].min())
    if fewest < LEAST_IMAGES_A_CLASS:
        raise DataError(
            f"a class has {fewest} images for training: each needs at least {LEAST_IMAGES_A_CLASS}"
        )
