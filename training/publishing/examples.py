"""Test images that a bundle contains for the playground."""

import numpy as np
from numpy.typing import NDArray

from service.artifact.examples import Examples
from training.data.splits import LabelledImages, Splits
from training.recipe.schema import Recipe

_FILE = "examples.safetensors"
_MAX_BYTES = 1024 * 1024


def add_examples(splits: Splits, recipe: Recipe, files: dict[str, bytes]) -> str | None:
    """Add test images to the files of a bundle, and return their file's name.

    Args:
        splits: The images; the recipe's seed selects some of the test images.
        recipe: `data.examples` is their number, fewer if they take more than 1 MiB; 0 for none.
        files: The files of the bundle, by name.
    """
    test = splits.test
    count = min(recipe.data.examples, len(test), _MAX_BYTES // test.pixels[0].nbytes)
    if count == 0:
        return None
    chosen = _order(test, np.random.default_rng(recipe.seed))[:count]
    labels = None if test.labels is None else test.labels[chosen]
    files[_FILE] = Examples(np.asarray(test.pixels[chosen]), labels).to_bytes()
    return _FILE


def _order(images: LabelledImages, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the indices (N,) of images in a random order, in which the classes alternate."""
    order = rng.permutation(len(images))
    if images.labels is None:
        return order
    labels = images.labels[order]
    rank = np.empty(len(order), np.intp)  # of an image among those of its class
    for label in np.unique(labels):
        is_of_class = labels == label
        rank[is_of_class] = np.arange(is_of_class.sum())
    return order[np.lexsort((labels, rank))]
