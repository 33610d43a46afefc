"""Sample quality of ideal, copying, collapsed and noise sources, and the choice of a default."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.artifact import Metric
from service.artifact.specs import NetworkName
from service.artifact.tensor_files import Floats
from training.data.datasets import read_data
from training.data.splits import Splits
from training.errors import TrainingError
from training.recipe.schema import DataRecipe, JudgeRecipe, Recipe
from training.sampling.judge import Judge, fit_judge
from training.sampling.quality_metrics import compare_nearest, measure_nearest
from training.sampling.reference_images import (
    MAX_NEAR_COPIES,
    MIN_MEMORISATION,
    RECONSTRUCTION_MARGIN,
    RECONSTRUCTION_SHARE,
    ReferenceImages,
)
from training.sampling.samplers import FittedSampler
from training.sampling.source_quality import (
    SampleQuality,
    choose_source,
    measure_sources,
)

_SHAPE = (1, 8, 8)


@dataclass(frozen=True)
class Scripted:
    """A source whose latents are flattened images, which `decode` reshapes."""

    make: Callable[[int, np.random.Generator], Floats]

    def draw(
        self, count: int, rng: np.random.Generator, _label: int | None, _temperature: float
    ) -> Floats:
        """Return `count` flattened images."""
        return self.make(count, rng).reshape(count, -1)


def decode(name: NetworkName, latents: Floats) -> list[Floats]:
    """Reshape latents into images."""
    assert name == "decoder"
    return [latents.reshape(-1, *_SHAPE)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Return the digits data set."""
    recipe = Recipe.model_validate(
        {"name": "digits", "data": DataRecipe(dataset="digits"), "autoencoder": {}}
    )
    return read_data(recipe, Path(), tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def judge(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Return a judge trained on digits."""
    recipe = JudgeRecipe(channels=(16, 32), hidden=16, epochs=8, batch_size=64, learning_rate=0.01)
    return fit_judge(recipe, splits, 0, tmp_path_factory.mktemp("runs"), torch.device("cpu"))


@pytest.fixture(scope="module")
def quality(splits: Splits, judge: Judge) -> SampleQuality:
    """Return the sample quality of four artificial sources."""
    training = splits.train.pixels.astype(np.float32) / 255
    # Validation images, on which no network was trained, represent an ideal source.
    ideal = splits.validation.pixels.astype(np.float32) / 255
    makers: dict[str, Callable[[int, np.random.Generator], Floats]] = {
        "ideal": lambda count, rng: ideal[rng.integers(len(ideal), size=count)],
        "copying": lambda count, rng: training[rng.integers(len(training), size=count)],
        "collapsed": lambda count, rng: (
            ideal[:1] + 0.02 * rng.random((count, *_SHAPE), dtype=np.float32)
        ),
        "noise": lambda count, rng: rng.random((count, *_SHAPE), dtype=np.float32),
    }
    samplers = {
        name: FittedSampler("kde", "autoencoder", Scripted(make)) for name, make in makers.items()
    }
    return measure_sources(ReferenceImages.compute(judge, splits, 0), splits, samplers, decode, 0)


def select(quality: SampleQuality, metric: str) -> dict[str, float]:
    """Return one metric of each source."""
    return {name: values[metric].value for name, values in quality.sources.items()}


def test_real_images_are_recognisable_and_noise_is_not(quality: SampleQuality) -> None:
    """Shares are in percent; there are as many samples as test images."""
    recognisable = select(quality, "recognisable")

    assert recognisable["ideal"] > 85
    assert recognisable["noise"] < 60
    assert quality.sources["ideal"]["recognisable"].count == 360
    assert select(quality, "classes")["ideal"] == 10
    assert select(quality, "classes")["collapsed"] == 1


def test_the_frechet_distance_ranks_the_sources(quality: SampleQuality) -> None:
    """Real images have a far lower distance than a collapsed source or noise."""
    for metric in ("frechet", "validation_frechet"):
        values = select(quality, metric)
        assert max(values["ideal"], values["copying"]) < 0.3 * min(
            values["collapsed"], values["noise"]
        )


def test_a_collapsed_source_has_low_coverage_and_recall(quality: SampleQuality) -> None:
    """A source that repeats one image covers few test images."""
    for metric in ("coverage", "recall"):
        values = select(quality, metric)
        assert values["collapsed"] < 0.2 * values["ideal"], metric


def test_a_copying_source_has_low_memorisation(quality: SampleQuality) -> None:
    """Copies of training images have a ratio of 0, new images one of about 1."""
    ratios, near = select(quality, "memorisation"), select(quality, "near_copies")

    assert ratios["copying"] < 0.01
    assert near["copying"] == 100
    assert ratios["ideal"] == pytest.approx(1, abs=0.2)
    assert near["ideal"] < 10


def test_the_floor_has_the_metrics_of_training_images(quality: SampleQuality) -> None:
    """It also has the judge's accuracy on test images."""
    floor = quality.floor

    assert floor["judge_accuracy"].value > 90
    assert floor["floor_frechet"].value < select(quality, "frechet")["noise"] / 3
    assert floor["floor_coverage"].value > 80
    assert "floor_memorisation" not in floor


def test_metrics_name_their_split(quality: SampleQuality) -> None:
    """The metrics that choose the default source use the validation images only."""
    metrics = quality.sources["ideal"]

    splits = {name: metric.split for name, metric in metrics.items()}

    assert {name for name, split in splits.items() if split == "validation"} == {
        "validation_frechet",
        "validation_memorisation",
        "validation_near_copies",
        "memorisation_limit",
        "near_copies_limit",
    }
    assert splits["frechet"] == "test"
    assert splits["memorisation"] == "train"


def test_the_same_seed_gives_the_same_measurements(splits: Splits, judge: Judge) -> None:
    """Another seed draws different samples."""

    def measure_noise(seed: int) -> SampleQuality:
        noise = Scripted(lambda count, rng: rng.random((count, *_SHAPE), dtype=np.float32))
        samplers = {"noise": FittedSampler("kde", "autoencoder", noise)}
        reference = ReferenceImages.compute(judge, splits, seed)
        return measure_sources(reference, splits, samplers, decode, seed)

    assert measure_noise(0).sources == measure_noise(0).sources
    assert measure_noise(0).sources != measure_noise(1).sources


def make_quality(
    validation: float, test: float, memorisation: float, near: float = 0.0
) -> dict[str, Metric]:
    """Return the metrics that decide the choice, and two that must not."""
    return {
        name: Metric(value=value, unit="", split="test", count=1)
        for name, value in {
            "validation_frechet": validation,
            "frechet": test,
            "validation_memorisation": memorisation,
            "memorisation": 0.1,
            "validation_near_copies": near,
            "memorisation_limit": 0.85,
            "near_copies_limit": 2.0,
        }.items()
    }


def test_the_best_source_on_validation_images_is_chosen() -> None:
    """The choice excludes sources that copy, and ignores the test images."""
    sources = {
        "copier": make_quality(1, 1, 0.84),
        "near-copier": make_quality(1, 1, 0.9, 2.1),
        "chosen": make_quality(2, 9, 0.85, 2.0),
        "best-on-test": make_quality(3, 0, 0.9),
    }

    assert choose_source(sources) == "chosen"


def test_of_copying_sources_the_one_that_copies_least_is_chosen() -> None:
    """A bundle whose sources all copy still has a default."""
    sources = {"worst": make_quality(1, 1, 0.2), "least": make_quality(2, 2, 0.7)}

    assert choose_source(sources) == "least"


class Blur(torch.nn.Module):
    """A network whose reconstructions are half-way between an image and its nearest copy."""

    def __init__(self, training: np.ndarray) -> None:
        """Store the training images."""
        super().__init__()
        self.training_images = torch.nn.Parameter(torch.from_numpy(training / 255).float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return reconstructions."""
        distances = torch.cdist(images.flatten(1), self.training_images.flatten(1))
        return (images + self.training_images[distances.argmin(dim=1)]) / 2


def test_the_limits_follow_reconstructions_that_are_nearer(splits: Splits, judge: Judge) -> None:
    """Reconstructions at half the distance change both; a space without them has the usual."""
    blur = Blur(splits.train.pixels)
    reference = ReferenceImages.compute(judge, splits, 0, {"autoencoder": blur})
    images = splits.validation.pixels.astype(np.float32) / 255

    qualities = {
        space: reference.measure_validation(images, space)
        for space in ("autoencoder", "vae", "gan")
    }

    limits = {space: quality["memorisation_limit"].value for space, quality in qualities.items()}
    assert limits["autoencoder"] == pytest.approx(RECONSTRUCTION_SHARE / 2, rel=0.02)
    assert limits["vae"] == limits["gan"] == MIN_MEMORISATION
    allowed = {space: quality["near_copies_limit"].value for space, quality in qualities.items()}
    near = measure_nearest(blur(torch.from_numpy(images)).detach().numpy(), splits.train.pixels)
    share = compare_nearest(near, reference.validation_nearest).near
    assert share > 0.02
    assert allowed["autoencoder"] == pytest.approx(RECONSTRUCTION_MARGIN * 100 * share)
    assert allowed["vae"] == allowed["gan"] == MAX_NEAR_COPIES
    assert qualities["gan"]["validation_memorisation"].value == pytest.approx(1)


def test_older_measurements_do_not_cover_the_sources(quality: SampleQuality) -> None:
    """Measurements without the current metrics, or of other sources, are made again."""
    sources = quality.sources
    older = {name: dict(metrics) for name, metrics in sources.items()}
    older["noise"].pop("near_copies_limit")

    assert quality.covers(sources)
    assert not quality.covers([*sources, "another"])
    assert not quality.model_copy(update={"sources": older}).covers(sources)


def test_too_few_reference_images_are_rejected(splits: Splits, judge: Judge) -> None:
    """The error states their number."""
    few = replace(splits, test=splits.test.take(np.arange(5)))

    with pytest.raises(TrainingError, match=r"judge: expected more than 5 .*, got 5"):
        ReferenceImages.compute(judge, few, 0)
