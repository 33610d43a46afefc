"""Sample quality of every source of a bundle, measured by the judge against real images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from service.artifact import Metric
from service.artifact.manifest import DECODERS
from training.data.splits import LabelledImages, Splits
from training.errors import RunError, TrainingError
from training.randomness import make_rng
from training.sampling.filtered_gan import RunNetwork
from training.sampling.judge import Judge, JudgeOutput
from training.sampling.latents import Floats
from training.sampling.quality_metrics import (
    NEIGHBOURS,
    Doubles,
    Features,
    compare_nearest,
    measure_frechet,
    measure_nearest,
    measure_neighbours,
    measure_recognition,
)
from training.sampling.samplers import FittedSampler

Quality: TypeAlias = dict[str, Metric]
"""Metrics of one source, by name."""
Split: TypeAlias = Literal["train", "validation", "test"]

MAX_IMAGES = 10_000
"""Maximum number of samples per source, and of real images to compare them with."""
MIN_MEMORISATION = 0.5
"""A source with a lower `memorisation` counts as copying training images."""

_FEW_NEAREST = 500
_MAX_NEAREST = 2000  # the cost is this number times the number of training images


class SampleQuality(BaseModel):
    """The measurements of all sources of a run, as stored in quality.json; shares in percent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, Quality]
    """`recognisable`, `classes`, `frechet`, `density`, `coverage`, `precision` and `recall` against
    the test images, `memorisation` and `near_copies` against the training images, all defined in
    `sampling.quality_metrics`, and `validation_frechet`, which chooses the default source."""
    bandwidths: dict[str, float] = {}
    """The chosen bandwidth of each kernel density."""
    floor: Quality
    """The same metrics, with the prefix `floor_`, of training images in place of samples: the
    values of an ideal sampler. Also `judge_accuracy` on the test images."""


@dataclass(frozen=True, slots=True)
class ReferenceImages:
    """Real images, with the judge's features, to compare samples with."""

    judge: Judge
    training: NDArray[np.uint8]
    """(N, C, H, W), all of them."""
    test: Features
    validation: Doubles
    """Features, (M, F)."""
    nearest: Floats
    """Distances of test images to their nearest training images."""
    accuracy: float
    """The judge's accuracy on test images, in percent."""

    @property
    def count(self) -> int:
        """Number of samples to draw per source."""
        return len(self.test.values)

    @classmethod
    def compute(cls, judge: Judge, splits: Splits, seed: int) -> Self:
        """Compute the features of the real images.

        Raises:
            TrainingError: there are too few validation or test images.
        """
        smallest = min(len(splits.test), len(splits.validation))
        if smallest <= NEIGHBOURS:
            raise TrainingError(
                f"judge: expected more than {NEIGHBOURS} validation and test images, got {smallest}"
            )
        test = _choose(splits.test, MAX_IMAGES, seed)
        validation = _choose(splits.validation, MAX_IMAGES, seed)
        output = judge.predict(torch.from_numpy(test.pixels))
        features = judge.predict(torch.from_numpy(validation.pixels)).features.astype(np.float64)
        few = _choose(test, _MAX_NEAREST, seed).pixels.astype(np.float32) / np.float32(255)
        return cls(
            judge,
            splits.train.pixels,
            Features.of(output.features),
            features,
            measure_nearest(few, splits.train.pixels),
            100 * float((output.probabilities.argmax(axis=1) == test.labels).mean()),
        )

    def measure_samples(self, images: Floats) -> Quality:
        """Return all metrics of samples (N, C, H, W) in [0, 1]."""
        few = images[:_MAX_NEAREST]
        memorisation = compare_nearest(measure_nearest(few, self.training), self.nearest)
        return {
            **self._compare(self.judge.predict(torch.from_numpy(images))),
            "memorisation": _metric(memorisation.ratio, "ratio", "train", len(few)),
            "near_copies": _metric(100 * memorisation.near, "percent", "train", len(few)),
        }

    def measure_validation(self, images: Floats) -> tuple[float, float]:
        """Return the samples' Frechet distance to validation images, and their `memorisation`."""
        features = self.judge.predict(torch.from_numpy(images)).features.astype(np.float64)
        nearest = measure_nearest(images[:_FEW_NEAREST], self.training)
        frechet = measure_frechet(features, self.validation)
        return frechet, compare_nearest(nearest, self.nearest).ratio

    def measure_floor(self, splits: Splits, seed: int) -> Quality:
        """Return the metrics of training images, and the judge's accuracy."""
        training = _choose(splits.train, self.count, seed)
        output = self.judge.predict(torch.from_numpy(training.pixels))
        return {
            "judge_accuracy": _metric(self.accuracy, "percent", "test", self.count),
            **{f"floor_{name}": metric for name, metric in self._compare(output).items()},
        }

    def _compare(self, output: JudgeOutput) -> Quality:
        """Return the metrics that need only the judge's output for the samples."""
        samples = Features.of(output.features)
        recognisable, classes = measure_recognition(output)
        neighbours = measure_neighbours(samples, self.test)
        frechet = measure_frechet(samples.values, self.test.values)
        validation = measure_frechet(samples.values, self.validation)
        metrics: dict[str, tuple[float, str, Split]] = {
            "recognisable": (100 * recognisable, "percent", "test"),
            "classes": (classes, "classes", "test"),
            "frechet": (frechet, "squared distance", "test"),
            "validation_frechet": (validation, "squared distance", "validation"),
            "density": (neighbours.density, "ratio", "test"),
            "coverage": (100 * neighbours.coverage, "percent", "test"),
            "precision": (100 * neighbours.precision, "percent", "test"),
            "recall": (100 * neighbours.recall, "percent", "test"),
        }
        count = len(samples.values)
        return {
            name: _metric(value, unit, split, count)
            for name, (value, unit, split) in metrics.items()
        }


def measure_sources(
    reference: ReferenceImages,
    splits: Splits,
    samplers: Mapping[str, FittedSampler],
    run: RunNetwork,
    seed: int,
) -> SampleQuality:
    """Measure `reference.count` samples of each source.

    Args:
        reference: The real images.
        splits: The same images, for the floor.
        samplers: The sources by name.
        run: Decodes latents into images.
        seed: The recipe's seed; each source has its own random numbers.
    """
    sources = {}
    for name, sampler in tqdm(samplers.items(), desc="judging", unit="source"):
        rng = make_rng(seed, "judging", name)
        latents = sampler.source.draw(reference.count, rng, None, 1.0)
        (images,) = run(DECODERS[sampler.space], latents)
        sources[name] = reference.measure_samples(images)
    return SampleQuality(sources=sources, floor=reference.measure_floor(splits, seed))


def read_quality(path: Path) -> SampleQuality | None:
    """Return the stored measurements; None if the file does not exist.

    Raises:
        RunError: the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        return SampleQuality.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(f"{path} is damaged; delete it to measure the samples again") from error


def choose_source(sources: Mapping[str, Quality]) -> str | None:
    """Return the source with the lowest Frechet distance to the validation images.

    Sources that copy training images (`memorisation` below `MIN_MEMORISATION`) are excluded; None
    if all are. The choice ignores test images.
    """
    candidates = {
        name: quality["validation_frechet"].value
        for name, quality in sources.items()
        if quality["memorisation"].value >= MIN_MEMORISATION
    }
    return min(candidates, key=candidates.__getitem__, default=None)


def _choose(images: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Return at most `count` random images: those of a folder are sorted by class."""
    if len(images) <= count:
        return images
    rng = make_rng(seed, "judging", "images")
    return images.take(np.sort(rng.permutation(len(images))[:count]))


def _metric(value: float, unit: str, split: Split, count: int) -> Metric:
    return Metric(value=float(value), unit=unit, split=split, count=count)
