"""The images of a search: divided without loss, and never the test's."""

from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import read_data
from training.errors import DataError
from training.recipe.schema import Recipe, parse_recipe
from training.search import folds
from training.search.folds import read_folds

HERE = Path()


def make_recipe(seed: int = 0) -> Recipe:
    """Return a recipe of the digits."""
    return parse_recipe(
        {"name": "x", "seed": seed, "data": {"dataset": "digits"}, "autoencoder": {}}
    )


def sort(pixels: np.ndarray) -> np.ndarray:
    """Return images as rows, in an order that only depends on which they are."""
    rows = pixels.reshape(len(pixels), -1)
    return rows[np.lexsort(rows.T)]


def test_one_fold_is_the_recipes_own_validation_split() -> None:
    """A search judges by the images that a training stops by."""
    splits = read_data(make_recipe(), HERE, HERE)

    (fold,) = read_folds(make_recipe(), 1, HERE, HERE, print)

    assert np.array_equal(fold.training.pixels, splits.train.pixels)
    assert np.array_equal(fold.validation.pixels, splits.validation.pixels)


def test_folds_share_out_all_images_but_the_tests() -> None:
    """Each image that is not for the test is validated on once, with all classes in each fold."""
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


def test_the_seed_decides_the_folds() -> None:
    """Processes that share a study divide alike."""
    first, same = (read_folds(make_recipe(), 2, HERE, HERE, print)[0] for _ in range(2))
    other = read_folds(make_recipe(seed=1), 2, HERE, HERE, print)[0]

    assert np.array_equal(first.validation.pixels, same.validation.pixels)
    assert not np.array_equal(first.validation.pixels, other.validation.pixels)


class Untouchable:
    """Test images that fail whoever looks at them."""

    def __getattribute__(self, name: str) -> object:
        """Refuse."""
        raise AssertionError(f"the test images were asked for {name}")

    def __len__(self) -> int:
        """Refuse."""
        raise AssertionError("the test images were counted")


@pytest.mark.parametrize("count", [1, 3])
def test_the_test_images_are_not_looked_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Whatever is divided, it is not they."""

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


def test_a_class_that_is_too_small_for_the_folds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line says how many images there are."""
    splits = read_data(make_recipe(), HERE, HERE)
    few = splits.train.take(np.arange(40))
    monkeypatch.setattr(
        folds,
        "read_data",
        lambda *_: type(splits)("x", splits.image, splits.classes, few, few, few),
    )

    with pytest.raises(DataError, match=r"a class has \d+ images: too few for 20 folds"):
        read_folds(make_recipe(), 20, HERE, HERE, print)
