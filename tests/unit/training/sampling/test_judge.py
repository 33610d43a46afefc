"""The judge: accuracy, its shared folder, and its outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import TrainingError
from training.networks.classifiers import JudgeNetwork
from training.recipe.schema import DataRecipe, JudgeRecipe, Recipe
from training.sampling.judge import fit_judge, locate_judge

_CPU = torch.device("cpu")
_RECIPE = JudgeRecipe(
    channels=(16, 32), hidden=32, epochs=12, batch_size=64, learning_rate=0.01, shift=1
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Return the digits data set."""
    recipe = Recipe.model_validate(
        {"name": "digits", "data": DataRecipe(dataset="digits"), "autoencoder": {}}
    )
    return read_data(recipe, Path(), tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for runs."""
    return tmp_path_factory.mktemp("runs")


def test_a_judge_classifies_unseen_digits(splits: Splits, runs: Path) -> None:
    """The accuracy on test images is over 95 %, and probabilities sum to 1."""
    judge = fit_judge(_RECIPE, splits, 0, runs, _CPU)

    output = judge.predict(torch.from_numpy(splits.test.pixels))

    correct = output.probabilities.argmax(axis=1) == splits.test.labels
    assert correct.mean() > 0.95
    assert output.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert output.features.shape == (len(splits.test), 32)
    assert output.features.min() >= 0


def test_a_judge_is_trained_once(
    splits: Splits, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second call loads the first judge, without an epoch."""
    images = torch.from_numpy(splits.test.pixels[:50])
    first = fit_judge(_RECIPE, splits, 0, runs, _CPU).predict(images)
    capsys.readouterr()

    second = fit_judge(_RECIPE, splits, 0, runs, _CPU).predict(images)

    assert "judge" not in capsys.readouterr().err
    assert np.array_equal(first.features, second.features)


def test_integer_and_float_images_give_the_same_output(splits: Splits, runs: Path) -> None:
    """Pixels of 0 to 255 and the same pixels in [0, 1] have equal features."""
    judge = fit_judge(_RECIPE, splits, 0, runs, _CPU)
    pixels = torch.from_numpy(splits.test.pixels[:50])

    from_integers, from_floats = judge.predict(pixels), judge.predict(pixels.float() / 255)

    assert from_integers.features == pytest.approx(from_floats.features, abs=1e-5)


def test_the_folder_depends_on_recipe_seed_and_split(splits: Splits, tmp_path: Path) -> None:
    """A changed recipe, seed or data set gives a different folder."""
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


def test_a_judge_requires_classes(splits: Splits, tmp_path: Path) -> None:
    """Images without labels are rejected."""
    bare = LabelledImages(splits.train.pixels, None)
    unlabelled = Splits(splits.dataset, splits.image, None, bare, bare, bare)

    with pytest.raises(TrainingError, match="the images have no classes"):
        fit_judge(_RECIPE, unlabelled, 0, tmp_path, _CPU)


@pytest.mark.parametrize("image", [(1, 4, 4), (3, 28, 28), (1, 9, 17)])
def test_a_judge_accepts_images_of_any_shape(image: tuple[int, int, int]) -> None:
    """The maximum number of pooling layers works for the smallest image."""
    network = JudgeNetwork(image, 3, JudgeRecipe(channels=(2, 2, 2, 2, 2), hidden=5)).eval()

    logits, features = network(torch.rand(2, *image))

    assert logits.shape == (2, 3)
    assert features.shape == (2, 5)
