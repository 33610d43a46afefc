"""The judge: what it learns, where it is kept, what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import TrainingError
from training.recipe.schema import DataRecipe, JudgeRecipe, Recipe
from training.sampling.judge import JudgeNetwork, fit_judge, locate_judge

_CPU = torch.device("cpu")
_RECIPE = JudgeRecipe(
    channels=(16, 32), hidden=32, epochs=12, batch_size=64, learning_rate=0.01, shift=1
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Small real digits."""
    recipe = Recipe.model_validate(
        {"name": "digits", "data": DataRecipe(dataset="digits"), "autoencoder": {}}
    )
    return read_data(recipe, Path(), tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs."""
    return tmp_path_factory.mktemp("runs")


def test_a_judge_tells_digits_apart_that_it_never_saw(splits: Splits, runs: Path) -> None:
    """Nineteen in twenty test images get their class, with probabilities that sum to 1."""
    judge = fit_judge(_RECIPE, splits, 0, runs, _CPU)

    verdicts = judge.examine(torch.from_numpy(splits.test.pixels))

    right = verdicts.probabilities.argmax(axis=1) == splits.test.labels
    assert right.mean() > 0.95
    assert verdicts.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert verdicts.features.shape == (len(splits.test), 32)
    assert verdicts.features.min() >= 0


def test_a_judge_is_fitted_once(
    splits: Splits, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second call reads the first one's judge back: no epoch is run, and it says the same."""
    images = torch.from_numpy(splits.test.pixels[:50])
    first = fit_judge(_RECIPE, splits, 0, runs, _CPU).examine(images)
    capsys.readouterr()

    second = fit_judge(_RECIPE, splits, 0, runs, _CPU).examine(images)

    assert "judge" not in capsys.readouterr().err
    assert np.array_equal(first.features, second.features)


def test_bytes_and_floats_of_an_image_are_judged_alike(splits: Splits, runs: Path) -> None:
    """An image in 0 to 255 gets the verdict of the same image in [0, 1]."""
    judge = fit_judge(_RECIPE, splits, 0, runs, _CPU)
    pixels = torch.from_numpy(splits.test.pixels[:50])

    from_bytes, from_floats = judge.examine(pixels), judge.examine(pixels.float() / 255)

    assert from_bytes.features == pytest.approx(from_floats.features, abs=1e-5)


def test_another_recipe_seed_or_split_has_another_folder(splits: Splits, tmp_path: Path) -> None:
    """No judge can be taken for one of another recipe, seed or data set."""
    fewer = Splits(
        splits.dataset,
        splits.image,
        splits.classes,
        splits.train.take(np.arange(100)),
        splits.validation,
        splits.test,
    )
    other = _RECIPE.model_copy(update={"epochs": 13})

    folders = {
        locate_judge(_RECIPE, splits, 0, tmp_path),
        locate_judge(other, splits, 0, tmp_path),
        locate_judge(_RECIPE, splits, 1, tmp_path),
        locate_judge(_RECIPE, fewer, 0, tmp_path),
    }

    assert len(folders) == 4
    assert all(folder.name.startswith("judge-digits-") for folder in folders)


def test_images_without_classes_have_no_judge(splits: Splits, tmp_path: Path) -> None:
    """There is nothing to learn without labels."""
    bare = LabelledImages(splits.train.pixels, None)
    unlabelled = Splits(splits.dataset, splits.image, None, bare, bare, bare)

    with pytest.raises(TrainingError, match="no classes"):
        fit_judge(_RECIPE, unlabelled, 0, tmp_path, _CPU)


@pytest.mark.parametrize("image", [(1, 4, 4), (3, 28, 28), (1, 9, 17)])
def test_images_of_any_shape_can_be_judged(image: tuple[int, int, int]) -> None:
    """As many halvings as a recipe may name leave something of the smallest image."""
    network = JudgeNetwork(image, 3, JudgeRecipe(channels=(2, 2, 2, 2, 2), hidden=5)).eval()

    logits, features = network(torch.rand(2, *image))

    assert logits.shape == (2, 3)
    assert features.shape == (2, 5)
