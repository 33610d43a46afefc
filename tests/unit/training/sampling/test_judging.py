"""The judging of sources: what honest, copying and collapsed samplers score, and who is chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.artifact import Metric
from service.artifact.manifest import NetworkName
from service.artifact.tensor_files import Floats
from training.data.datasets import read_data
from training.data.splits import Splits
from training.errors import TrainingError
from training.recipe.schema import DataRecipe, JudgeRecipe, Recipe
from training.sampling.judge import Judge, fit_judge
from training.sampling.judging import Judgement, Yardstick, choose_source, judge_sources
from training.sampling.samplers import FittedSampler

_SHAPE = (1, 8, 8)


@dataclass(frozen=True)
class Scripted:
    """A source whose latents are pictures, which `decode` only has to give their shape."""

    make: Callable[[int, np.random.Generator], Floats]

    def draw(
        self, count: int, generator: np.random.Generator, _label: int | None, _temperature: float
    ) -> Floats:
        """Give so many pictures."""
        return self.make(count, generator).reshape(count, -1)


def decode(name: NetworkName, latents: Floats) -> list[Floats]:
    """Give latents the shape of images."""
    assert name == "decoder"
    return [latents.reshape(-1, *_SHAPE)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Small real digits."""
    recipe = Recipe.model_validate(
        {"name": "digits", "data": DataRecipe(dataset="digits"), "autoencoder": {}}
    )
    return read_data(recipe, Path(), tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def judge(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """A judge that knows digits."""
    recipe = JudgeRecipe(channels=(16, 32), hidden=16, epochs=8, batch_size=64, learning_rate=0.01)
    return fit_judge(recipe, splits, 0, tmp_path_factory.mktemp("runs"), torch.device("cpu"))


@pytest.fixture(scope="module")
def judgement(splits: Splits, judge: Judge) -> Judgement:
    """What the judge says of four samplers that were made up."""
    training = splits.train.pixels.astype(np.float32) / 255
    # Validation images, which no network learned from, stand for a sampler without fault.
    honest = splits.validation.pixels.astype(np.float32) / 255
    makers: dict[str, Callable[[int, np.random.Generator], Floats]] = {
        "honest": lambda count, lots: honest[lots.integers(len(honest), size=count)],
        "copying": lambda count, lots: training[lots.integers(len(training), size=count)],
        "collapsed": lambda count, lots: (
            honest[:1] + 0.02 * lots.random((count, *_SHAPE), dtype=np.float32)
        ),
        "noise": lambda count, lots: lots.random((count, *_SHAPE), dtype=np.float32),
    }
    samplers = {
        name: FittedSampler("kde", "autoencoder", Scripted(make)) for name, make in makers.items()
    }
    return judge_sources(Yardstick.make(judge, splits, 0), splits, samplers, decode, 0)


def find(judgement: Judgement, figure: str) -> dict[str, float]:
    """Return a figure of each source."""
    return {name: quality[figure].value for name, quality in judgement.sources.items()}


def test_real_images_are_recognised_and_noise_is_not(judgement: Judgement) -> None:
    """Shares are in percent, of as many samples as there are test images."""
    recognised = find(judgement, "recognisable")

    assert recognised["honest"] > 85
    assert recognised["noise"] < 60
    assert judgement.sources["honest"]["recognisable"].count == 360
    assert find(judgement, "classes")["honest"] == 10
    assert find(judgement, "classes")["collapsed"] == 1


def test_the_frechet_distance_ranks_the_samplers(judgement: Judgement) -> None:
    """Real images are nearest to the test images, then a collapsed sampler, then noise."""
    for figure in ("frechet", "validation_frechet"):
        found = find(judgement, figure)
        assert max(found["honest"], found["copying"]) < 0.3 * min(
            found["collapsed"], found["noise"]
        )


def test_a_collapsed_sampler_shows_in_coverage_and_recall(judgement: Judgement) -> None:
    """It repeats itself, whatever the judge recognises."""
    for figure in ("coverage", "recall"):
        found = find(judgement, figure)
        assert found["collapsed"] < 0.2 * found["honest"], figure


def test_a_copying_sampler_shows_in_memorisation_only(judgement: Judgement) -> None:
    """Its samples are training images, and as good as they are."""
    ratios, near = find(judgement, "memorisation"), find(judgement, "near_copies")

    assert ratios["copying"] < 0.01
    assert near["copying"] == 100
    assert ratios["honest"] == pytest.approx(1, abs=0.2)
    assert near["honest"] < 10


def test_the_floor_is_that_of_training_images(judgement: Judgement) -> None:
    """It says how near real images come, and how well the judge knows new ones."""
    floor = judgement.floor

    assert floor["judge_accuracy"].value > 90
    assert floor["floor_frechet"].value < find(judgement, "frechet")["noise"] / 3
    assert floor["floor_coverage"].value > 80
    assert "floor_memorisation" not in floor


def test_figures_name_the_images_that_they_were_measured_with(judgement: Judgement) -> None:
    """Only `validation_frechet` looks at the validation images."""
    quality = judgement.sources["honest"]

    splits = {name: metric.split for name, metric in quality.items()}

    assert {name for name, split in splits.items() if split == "validation"} == {
        "validation_frechet"
    }
    assert splits["frechet"] == "test"
    assert splits["memorisation"] == "train"


def test_the_same_seed_gives_the_same_judgement(splits: Splits, judge: Judge) -> None:
    """Another seed draws other samples."""

    def judge_noise(seed: int) -> Judgement:
        noise = Scripted(lambda count, lots: lots.random((count, *_SHAPE), dtype=np.float32))
        samplers = {"noise": FittedSampler("kde", "autoencoder", noise)}
        yardstick = Yardstick.make(judge, splits, seed)
        return judge_sources(yardstick, splits, samplers, decode, seed)

    assert judge_noise(0).sources == judge_noise(0).sources
    assert judge_noise(0).sources != judge_noise(1).sources


def make_quality(validation: float, test: float, memorisation: float) -> dict[str, Metric]:
    """Return the figures that choose a source, and one that must not."""
    return {
        name: Metric(value=value, unit="", split="test", count=1)
        for name, value in {
            "validation_frechet": validation,
            "frechet": test,
            "memorisation": memorisation,
        }.items()
    }


def test_the_best_source_on_validation_that_does_not_copy_is_chosen() -> None:
    """Neither the best on the test images nor the best copier is."""
    sources = {
        "copier": make_quality(1, 1, 0.2),
        "chosen": make_quality(2, 9, 0.8),
        "best-on-test": make_quality(3, 0, 0.8),
    }

    assert choose_source(sources) == "chosen"
    assert choose_source({"copier": sources["copier"]}) is None


def test_too_few_images_cannot_be_compared_with(splits: Splits, judge: Judge) -> None:
    """The message says how many there are."""
    few = replace(splits, test=splits.test.take(np.arange(5)))

    with pytest.raises(TrainingError, match="judge: 5 validation or test images are too few"):
        Yardstick.make(judge, few, 0)
