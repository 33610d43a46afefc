"""The images of a search: complete folds, without test images."""

from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import read_data
from training.errors import DataError
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe
from training.search import folds
from training.search.folds import read_folds

HERE = Path()


def make_recipe(seed: int = 0) -> Recipe:
    """Return a recipe for the digits data set."""
    return parse_recipe(
        {"name": "x", "seed": seed, "data": {"dataset": "digits"}, "autoencoder": {}}
    )


def sort(pixels: np.ndarray) -> np.ndarray:
    """Return images as sorted rows."""
    rows = pixels.reshape(len(pixels), -1)
    return rows[np.lexsort(rows.T)]


def test_one_fold_is_the_recipes_own_validation_split() -> None:
    """A search and a training use the same validation images."""
    splits = read_data(make_recipe(), HERE, HERE)

    (fold,) = read_folds(make_recipe(), 1, HERE, HERE, print)

    assert np.array_equal(fold.training.pixels, splits.train.pixels)
    assert np.array_equal(fold.validation.pixels, splits.validation.pixels)


def test_folds_contain_all_images_except_the_test_split() -> None:
    """Each image is in one validation part, and each part contains all classes."""
    splits = read_data(make_recipe(), HERE, HERE)

    parts = read_folds(make_recipe(), 3, HERE, HERE, print)

    every = np.concatenate([splits.train.pixels, splits.validation.pixels])
    assert np.array_equal(
        sort(np.concatenate([part.validation.pixels for part in parts])), sort(every)
    )
    for part in parts:
        together = np.concatenate([part.training.pixels, part.validation.pixels])
        assert np.array_equal(sort(together), sort(every))
        assert part.validation.labels is not None
        assert set(part.validation.labels) == set(range(10))


def test_folds_depend_on_the_seed() -> None:
    """Processes that share a study use the same folds."""
    first, same = (read_folds(make_recipe(), 2, HERE, HERE, print)[0] for _ in range(2))
    other = read_folds(make_recipe(seed=1), 2, HERE, HERE, print)[0]

    assert np.array_equal(first.validation.pixels, same.validation.pixels)
    assert not np.array_equal(first.validation.pixels, other.validation.pixels)


class Untouchable:
    """Test images that fail on any access."""

    def __getattribute__(self, name: str) -> object:
        """Fail."""
        raise AssertionError(f"access to {name} of the test images")

    def __len__(self) -> int:
        """Fail."""
        raise AssertionError("access to the number of test images")


@pytest.mark.parametrize("count", [1, 3])
def test_test_images_are_not_accessed(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Folds can be read with test images that fail on any access."""

    def read(recipe: Recipe, root: Path, scratch: Path) -> object:
        splits = read_data(recipe, root, scratch)
        return type(splits)(
            splits.dataset,
            splits.image,
            splits.classes,
            splits.train,
            splits.validation,
            Untouchable(),
        )

    monkeypatch.setattr(folds, "read_data", read)

    assert len(read_folds(make_recipe(), count, HERE, HERE, print)) == count


def test_a_class_with_fewer_images_than_folds_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error states the number of images."""
    splits = read_data(make_recipe(), HERE, HERE)
    few = splits.train.take(np.arange(40))
    monkeypatch.setattr(
        folds,
        "read_data",
        lambda *_: type(splits)("x", splits.image, splits.classes, few, few, few),
    )

    with pytest.raises(DataError, match=r"20 folds require 20 images per class, got \d+"):
        read_folds(make_recipe(), 20, HERE, HERE, print)
