"""Training and validation images of a search; the test images are never read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from training.data.datasets import read_data
from training.data.splits import LabelledImages
from training.errors import DataError
from training.fitting.examples import Examples
from training.randomness import derive_seed32
from training.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class Fold:
    """One split of the images."""

    training: LabelledImages
    validation: LabelledImages

    def move_to(self, device: torch.device) -> tuple[Examples, Examples]:
        """Return both parts as examples on a device."""
        return (
            Examples.from_images(self.training, device),
            Examples.from_images(self.validation, device),
        )


def read_folds(
    recipe: Recipe, count: int, root: Path, scratch: Path, report_progress: Callable[[str], None]
) -> tuple[Fold, ...]:
    """Read a recipe's images and split all except the test images.

    Args:
        recipe: The data set and the seed.
        count: Number of cross-validation folds; 1: the recipe's validation split.
        root: Folder of torchvision's data sets.
        scratch: Folder for pixels that would fill more than half of the memory.
        report_progress: Receives warnings, one line each.

    Raises:
        DataError: the images cannot be used, or a class has fewer images than folds.
    """
    splits = read_data(recipe, root, scratch)
    for note in splits.notes:
        report_progress(note)
    if count == 1:
        return (Fold(splits.train, splits.validation),)
    images = _join(splits.train, splits.validation)
    _check_classes(images, count)
    kind = KFold if images.labels is None else StratifiedKFold
    seed = derive_seed32(recipe.seed, "search", "folds")
    divisions = kind(count, shuffle=True, random_state=seed).split(images.pixels, images.labels)
    return tuple(Fold(images.take(kept), images.take(held)) for kept, held in divisions)


def _join(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    pixels = np.concatenate([first.pixels, second.pixels])
    if first.labels is None or second.labels is None:
        return LabelledImages(pixels, None)
    return LabelledImages(pixels, np.concatenate([first.labels, second.labels]))


def _check_classes(images: LabelledImages, count: int) -> None:
    if images.labels is None:
        return
    smallest = int(np.unique(images.labels, return_counts=True)[1].min())
    if smallest < count:
        raise DataError(f"{count} folds require {count} images per class, got {smallest}")
