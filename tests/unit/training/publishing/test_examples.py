"""Test images that a bundle contains for the playground."""

import numpy as np
import pytest

from service.artifact import ImageSpec
from service.artifact.examples import Examples
from training.data.splits import LabelledImages, Splits
from training.publishing.examples import add_examples
from training.recipe.schema import Recipe


def make_splits(side: int = 4, *, labelled: bool = True) -> Splits:
    """Return 60 test images, filled with their index; three of four are of class 0."""
    test = LabelledImages(
        np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None], (60, 1, side, side)),
        np.where(np.arange(60) % 4 == 3, 1, 0) if labelled else None,
    )
    image = ImageSpec(channels=1, height=side, width=side)
    return Splits("few", image, ("a", "b") if labelled else None, test, test, test)


def make_recipe(**data: object) -> Recipe:
    """Return a recipe with these keys of its data."""
    members = {"name": "few", "data": {"dataset": "few", **data}, "autoencoder": {}}
    return Recipe.model_validate(members)


def test_classes_alternate() -> None:
    """The chosen images are test images of all classes in turn, the same for the same seed."""
    files: dict[str, bytes] = {}
    again: dict[str, bytes] = {}

    name = add_examples(make_splits(), make_recipe(examples=8), files)
    add_examples(make_splits(), make_recipe(examples=8), again)

    assert name is not None
    assert files == again
    examples = Examples.from_bytes(files[name])
    indices = examples.images[:, 0, 0, 0]
    assert examples.labels is not None
    assert examples.labels.tolist() == [0, 1] * 4
    assert np.array_equal(indices % 4 == 3, examples.labels == 1)
    assert len(set(indices.tolist())) == 8


def test_images_without_classes() -> None:
    """Without classes the examples have no labels."""
    files: dict[str, bytes] = {}

    name = add_examples(make_splits(labelled=False), make_recipe(), files)

    assert name is not None
    examples = Examples.from_bytes(files[name])
    assert (len(examples.images), examples.labels) == (32, None)


@pytest.mark.parametrize(("side", "count"), [(16, 32), (256, 16), (1025, 0)])
def test_examples_are_small(side: int, count: int) -> None:
    """Large images are fewer: together they take at most 1 MiB."""
    files: dict[str, bytes] = {}

    name = add_examples(make_splits(side), make_recipe(), files)

    assert (len(Examples.from_bytes(files[name]).images) if name else 0) == count


def test_private_data_are_not_published() -> None:
    """With `data.examples = 0` the bundle contains no test image."""
    files: dict[str, bytes] = {}

    assert add_examples(make_splits(), make_recipe(examples=0), files) is None
    assert files == {}
