"""The images that a search learns from and validates on; the test images are not among them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from training.data.datasets import read_data
from training.data.splits import LabelledImages
from training.errors import DataError
from training.fitting.loop import Examples
from training.randomness import derive_seed
from training.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the images."""

    training: LabelledImages
    validation: LabelledImages

    def put_on(self, device: torch.device) -> tuple[Examples, Examples]:
        """Return both parts as networks learn from them."""
        return (
            Examples.from_images(self.training, device),
            Examples.from_images(self.validation, device),
        )


def read_folds(
    recipe: Recipe, count: int, root: Path, scratch: Path, tell: Callable[[str], None]
) -> tuple[Fold, ...]:
    """Read a recipe's images and divide those that are not for the test.

    Args:
        recipe: Names the data set, and decides the division by its seed.
        count: Folds of a cross-validation; 1: the recipe's own validation split.
        root: Where torchvision's data sets lie.
        scratch: Where pixels go that would fill over half of the memory.
        tell: Takes a line for the person who waits.

    Raises:
        DataError: the images cannot be used, or a class has fewer images than there are folds.
    """
    splits = read_data(recipe, root, scratch)
    for note in splits.notes:
        tell(note)
    if count == 1:
        return (Fold(splits.train, splits.validation),)
    images = _join(splits.train, splits.validation)
    _check_classes(images, count)
    kind = KFold if images.labels is None else StratifiedKFold
    seed = derive_seed(recipe.seed, "search", "folds") % 2**32
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
    fewest = int(np.unique(images.labels, return_counts=True)[1].min())
    if fewest < count:
        raise DataError(f"a class has {fewest} images: too few for {count} folds")
