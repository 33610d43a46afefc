"""Time as a choice: minutes become steps, divided over the networks of the recipe."""

from pathlib import Path

import pytest
import torch

from training.data.datasets import read_data
from training.fitting import budget
from training.fitting.budget import describe_plan, divide_time, plan_time
from training.fitting.examples import Examples
from training.fitting.tasks import FitContext, Task
from training.recipe.parsing import parse_recipe
from training.recipe.schema import FitRecipe, Recipe

CPU = torch.device("cpu")


def make_recipe(minutes: float) -> Recipe:
    """Return a recipe of digits with three networks."""
    tiny = {"architecture": "residual", "channels": [4], "latent_size": 4, "batch_size": 32}
    return parse_recipe(
        {
            "name": "timed",
            "minutes": minutes,
            "data": {"dataset": "digits"},
            "autoencoder": tiny,
            "vae": tiny,
            "classifier": {"channels": [4], "hidden": [8], "batch_size": 32},
        }
    )


def plan(minutes: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Plan a training whose steps take 10 ms, or 5 ms in bfloat16."""
    splits = read_data(make_recipe(minutes), folder, folder)
    training, validation = (
        Examples.from_images(images, CPU) for images in (splits.train, splits.validation)
    )

    def time_step(_: Task, recipe: FitRecipe, __: FitContext, ___: budget.Clock) -> float:
        return 0.005 if recipe.precision == "bfloat16" else 0.01

    monkeypatch.setattr(budget, "_time_step", time_step)
    return plan_time(FitContext(make_recipe(minutes), folder, CPU, training, validation))


def count_seconds(recipe: FitRecipe, step: float) -> float:
    """Return the time of a section's steps."""
    assert recipe.epoch_images is not None
    return recipe.epochs * recipe.epoch_images / recipe.batch_size * step


def test_the_networks_share_the_time() -> None:
    """The seconds add up to 90 % of the minutes, most for the autoencoder."""
    seconds = divide_time(make_recipe(10))

    assert sum(seconds.values()) == pytest.approx(540)
    assert max(seconds, key=seconds.__getitem__) == "autoencoder"


def test_a_recipe_without_minutes_keeps_its_epochs() -> None:
    """Only `minutes` divides time."""
    assert divide_time(make_recipe(1).model_copy(update={"minutes": None})) == {}


def test_steps_fit_into_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training steps and validations take the planned time, with the faster precision."""
    recipe = plan(2, tmp_path, monkeypatch)

    assert recipe.autoencoder.precision == "bfloat16"
    seconds = divide_time(recipe)["autoencoder"]
    assert 0.8 * seconds < count_seconds(recipe.autoencoder, 0.005) <= seconds
    assert any("2 minutes" in line for line in describe_plan(recipe))


def test_a_tiny_time_still_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second gives at least one epoch of five steps to each network."""
    recipe = plan(1 / 60, tmp_path, monkeypatch)

    assert recipe.vae is not None
    assert recipe.vae.epochs >= 1
    assert recipe.vae.epoch_images is not None
    assert recipe.vae.epoch_images >= 5 * recipe.vae.batch_size
