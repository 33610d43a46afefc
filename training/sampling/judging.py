"""Every source of a bundle, judged: samples are drawn, decoded and measured beside real images."""

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
from service.artifact.sources import RunNetwork
from training.data.splits import LabelledImages, Splits
from training.errors import RunError, TrainingError
from training.randomness import derive_seed
from training.sampling.judge import Judge, Verdicts
from training.sampling.quality import (
    NEIGHBOURS,
    Doubles,
    Features,
    Floats,
    compare_nearest,
    measure_closeness,
    measure_frechet,
    measure_nearest,
    measure_recognition,
)
from training.sampling.samplers import FittedSampler

Quality: TypeAlias = dict[str, Metric]
Split: TypeAlias = Literal["train", "validation", "test"]

MOST_IMAGES = 10_000
"""Samples of a source, and at most so many real images beside them."""
COPYING = 0.5
"""A source whose `memorisation` is lower copies training images."""

_FEW_NEAREST = 500
_MOST_NEAREST = 2000  # the search takes their number times the training images'


class Judgement(BaseModel):
    """What a judge found; shares are in percent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, Quality]
    """`recognisable`, `classes`, `frechet`, `density`, `coverage`, `precision` and `recall` against
    the test images, `memorisation` and `near_copies` against the training images, all as
    `training.sampling.quality` has them, and `validation_frechet` to choose a source by."""
    bandwidths: dict[str, float] = {}
    """What was chosen for each kernel density before it was judged."""
    floor: Quality
    """The same, each after `floor_`, of training images for samples, as far as it has a meaning:
    the figures of a sampler without fault. And `judge_accuracy` on the test images."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The real images as the judge sees them, to hold samples against."""

    judge: Judge
    training: NDArray[np.uint8]
    """(N, C, H, W), all of them."""
    test: Features
    validation: Doubles
    """Features."""
    nearest: Floats
    """Distances of test images to their nearest training images."""
    accuracy: float
    """The judge's, on test images, in percent."""

    @property
    def count(self) -> int:
        """How many samples to draw."""
        return len(self.test.values)

    @classmethod
    def make(cls, judge: Judge, splits: Splits, seed: int) -> Self:
        """Look at the real images.

        Raises:
            TrainingError: there are too few of them.
        """
        least = min(len(splits.test), len(splits.validation))
        if least <= NEIGHBOURS:
            raise TrainingError(
                f"judge: {least} validation or test images are too few to compare samples with"
            )
        test = _choose(splits.test, MOST_IMAGES, seed)
        validation = _choose(splits.validation, MOST_IMAGES, seed)
        verdicts = judge.examine(torch.from_numpy(test.pixels))
        seen = judge.examine(torch.from_numpy(validation.pixels)).features.astype(np.float64)
        few = _choose(test, _MOST_NEAREST, seed).pixels.astype(np.float32) / np.float32(255)
        return cls(
            judge,
            splits.train.pixels,
            Features.of(verdicts.features),
            seen,
            measure_nearest(few, splits.train.pixels),
            100 * float((verdicts.probabilities.argmax(axis=1) == test.labels).mean()),
        )

    def measure_samples(self, images: Floats) -> Quality:
        """Return all figures of samples (N, C, H, W) in [0, 1]."""
        few = images[:_MOST_NEAREST]
        found = compare_nearest(measure_nearest(few, self.training), self.nearest)
        return {
            **self._compare(self.judge.examine(torch.from_numpy(images))),
            "memorisation": _state(found.ratio, "ratio", "train", len(few)),
            "near_copies": _state(100 * found.near, "percent", "train", len(few)),
        }

    def measure_validation(self, images: Floats) -> tuple[float, float]:
        """Return the Frechet distance to validation images, and `memorisation`, of samples."""
        features = self.judge.examine(torch.from_numpy(images)).features.astype(np.float64)
        nearest = measure_nearest(images[:_FEW_NEAREST], self.training)
        frechet = measure_frechet(features, self.validation)
        return frechet, compare_nearest(nearest, self.nearest).ratio

    def measure_floor(self, splits: Splits, seed: int) -> Quality:
        """Return the figures of training images, and the judge's own accuracy."""
        training = _choose(splits.train, self.count, seed)
        verdicts = self.judge.examine(torch.from_numpy(training.pixels))
        return {
            "judge_accuracy": _state(self.accuracy, "percent", "test", self.count),
            **{f"floor_{name}": metric for name, metric in self._compare(verdicts).items()},
        }

    def _compare(self, verdicts: Verdicts) -> Quality:
        """Return what the judge's features and probabilities of samples tell."""
        samples = Features.of(verdicts.features)
        recognisable, classes = measure_recognition(verdicts)
        closeness = measure_closeness(samples, self.test)
        frechet = measure_frechet(samples.values, self.test.values)
        validation = measure_frechet(samples.values, self.validation)
        figures: dict[str, tuple[float, str, Split]] = {
            "recognisable": (100 * recognisable, "percent", "test"),
            "classes": (classes, "classes", "test"),
            "frechet": (frechet, "squared distance", "test"),
            "validation_frechet": (validation, "squared distance", "validation"),
            "density": (closeness.density, "ratio", "test"),
            "coverage": (100 * closeness.coverage, "percent", "test"),
            "precision": (100 * closeness.precision, "percent", "test"),
            "recall": (100 * closeness.recall, "percent", "test"),
        }
        count = len(samples.values)
        return {
            name: _state(value, unit, split, count)
            for name, (value, unit, split) in figures.items()
        }


def judge_sources(
    yardstick: Yardstick,
    splits: Splits,
    samplers: Mapping[str, FittedSampler],
    run: RunNetwork,
    seed: int,
) -> Judgement:
    """Measure as many samples of each source as there are test images, at most `MOST_IMAGES`.

    The noise of each source is its own, derived from `seed`; `run` makes images of its latents.
    """
    sources = {}
    for name, sampler in tqdm(samplers.items(), desc="judging", unit="source"):
        generator = np.random.default_rng(derive_seed(seed, "judging", name))
        latents = sampler.source.draw(yardstick.count, generator, None, 1.0)
        (images,) = run(DECODERS[sampler.space], latents)
        sources[name] = yardstick.measure_samples(images)
    return Judgement(sources=sources, floor=yardstick.measure_floor(splits, seed))


def read_judgement(path: Path) -> Judgement | None:
    """Return what was judged before; None if there is no such file.

    Raises:
        RunError: it cannot be read.
    """
    if not path.exists():
        return None
    try:
        return Judgement.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(f"{path} is damaged: without it the samples are judged again") from error


def choose_source(sources: Mapping[str, Quality]) -> str | None:
    """Return the source with the lowest Frechet distance to validation images that copies none.

    A source copies whose samples' median distance to the nearest training image is under
    `COPYING` of that of test images. The test images' own figures choose nothing. None: every
    source copies.
    """
    honest = {
        name: quality["validation_frechet"].value
        for name, quality in sources.items()
        if quality["memorisation"].value >= COPYING
    }
    return min(honest, key=honest.__getitem__, default=None)


def _choose(images: LabelledImages, most: int, seed: int) -> LabelledImages:
    """Return at most so many random images: a folder's stand in the order of their classes."""
    if len(images) <= most:
        return images
    generator = np.random.default_rng(derive_seed(seed, "judging", "images"))
    return images.take(np.sort(generator.permutation(len(images))[:most]))


def _state(value: float, unit: str, split: Split, count: int) -> Metric:
    return Metric(value=float(value), unit=unit, split=split, count=count)
