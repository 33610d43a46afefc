"""Real images to compare samples with, and the metrics of samples against them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.artifact import Metric
from service.artifact.specs import SamplerSpace, SpaceName
from training.data.splits import LabelledImages, Splits
from training.errors import TrainingError
from training.fitting.examples import Examples
from training.networks.layers import find_device
from training.randomness import make_rng
from training.sampling.judge import Judge, JudgeOutput
from training.sampling.latents import Floats
from training.sampling.quality_metrics import (
    NEIGHBOURS,
    Doubles,
    Features,
    Memorisation,
    compare_nearest,
    measure_frechet,
    measure_nearest,
    measure_neighbours,
    measure_recognition,
)

Quality: TypeAlias = dict[str, Metric]
"""Metrics of one source, by name."""
Split: TypeAlias = Literal["train", "validation", "test"]

MAX_IMAGES = 10_000
"""Maximum number of samples per source, and of real images to compare them with."""
MIN_MEMORISATION = 0.85
"""Samples with a lower `validation_memorisation` count as copies of training images."""
RECONSTRUCTION_SHARE = 0.95
"""Share of the `validation_memorisation` of reconstructions that is enough, if it is lower: a
decoder's smooth images are nearer to all images."""
MAX_NEAR_COPIES = 2.0
"""Samples with higher `validation_near_copies`, in percent, count as copies of training images."""
RECONSTRUCTION_MARGIN = 1.05
"""Multiple of the `validation_near_copies` of reconstructions that is allowed, if it is higher."""

_MAX_NEAREST = 2000  # the cost is this number times the number of training images


class CopyLimits(NamedTuple):
    """The limits beyond which the samples of a space count as copies of training images."""

    memorisation: float = MIN_MEMORISATION
    """The lowest `validation_memorisation`."""
    near_copies: float = MAX_NEAR_COPIES
    """The highest `validation_near_copies`, in percent."""

    @classmethod
    def of_reconstructions(cls, copies: Memorisation) -> Self:
        """Return the limits of a space whose reconstructions of validation images measure so."""
        return cls(
            min(MIN_MEMORISATION, RECONSTRUCTION_SHARE * copies.ratio),
            max(MAX_NEAR_COPIES, RECONSTRUCTION_MARGIN * 100 * copies.near),
        )


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
    validation_nearest: Floats
    """Distances of validation images to their nearest training images."""
    accuracy: float
    """The judge's accuracy on test images, in percent."""
    limits: Mapping[SpaceName, CopyLimits] = field(default_factory=dict)
    """The limits of each space; others have the usual ones."""

    @property
    def count(self) -> int:
        """Number of samples to draw per source."""
        return len(self.test.values)

    @classmethod
    def compute(
        cls,
        judge: Judge,
        splits: Splits,
        seed: int,
        autoencoders: Mapping[SpaceName, nn.Module] | None = None,
    ) -> Self:
        """Compute the features of the real images.

        Args:
            judge: The judge.
            splits: The images.
            seed: The recipe's seed.
            autoencoders: For each space a network that reconstructs images, for its limits.

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
        few, few_validation = (
            torch.from_numpy(_choose(images, _MAX_NEAREST, seed).pixels).float() / 255
            for images in (test, validation)
        )
        typical = measure_nearest(few_validation.numpy(), splits.train.pixels)
        limits = {}
        for space, network in (autoencoders or {}).items():
            nearest = measure_nearest(_run(network, few_validation), splits.train.pixels)
            limits[space] = CopyLimits.of_reconstructions(compare_nearest(nearest, typical))
        return cls(
            judge,
            splits.train.pixels,
            Features.of(output.features),
            features,
            measure_nearest(few.numpy(), splits.train.pixels),
            typical,
            100 * float((output.probabilities.argmax(axis=1) == test.labels).mean()),
            limits,
        )

    def measure_samples(self, images: Floats, space: SamplerSpace) -> Quality:
        """Return all metrics of samples (N, C, H, W) in [0, 1] of a source in `space`."""
        nearest = measure_nearest(images[:_MAX_NEAREST], self.training)
        return {
            **self._compare(self.judge.predict(torch.from_numpy(images))),
            **_describe("", compare_nearest(nearest, self.nearest), "train", len(nearest)),
            **self._describe_copies(nearest, space),
        }

    def measure_validation(self, images: Floats, space: SamplerSpace) -> Quality:
        """Return the metrics of `measure_samples` that ignore the test images."""
        features = self.judge.predict(torch.from_numpy(images)).features.astype(np.float64)
        nearest = measure_nearest(images[:_MAX_NEAREST], self.training)
        frechet = measure_frechet(features, self.validation)
        return {
            "validation_frechet": _metric(frechet, "squared distance", "validation", len(images)),
            **self._describe_copies(nearest, space),
        }

    def _describe_copies(self, nearest: Floats, space: SamplerSpace) -> Quality:
        copies = compare_nearest(nearest, self.validation_nearest)
        limits = CopyLimits() if space == "gan" else self.limits.get(space, CopyLimits())
        return {
            **_describe("validation_", copies, "validation", len(nearest)),
            "memorisation_limit": _metric(limits.memorisation, "ratio", "validation", len(nearest)),
            "near_copies_limit": _metric(limits.near_copies, "percent", "validation", len(nearest)),
        }

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


def _describe(prefix: str, copies: Memorisation, split: Split, count: int) -> Quality:
    return {
        f"{prefix}memorisation": _metric(copies.ratio, "ratio", split, count),
        f"{prefix}near_copies": _metric(100 * copies.near, "percent", split, count),
    }


def _choose(images: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Return at most `count` random images: those of a folder are sorted by class."""
    if len(images) <= count:
        return images
    rng = make_rng(seed, "judging", "images")
    return images.take(np.sort(rng.permutation(len(images))[:count]))


@torch.no_grad()
def _run(network: nn.Module, images: Tensor) -> Floats:
    device = find_device(network)
    batches = Examples(images).batches()
    return torch.cat([network(batch.to(device)).cpu() for batch, _ in batches]).numpy()


def _metric(value: float, unit: str, split: Split, count: int) -> Metric:
    return Metric(value=float(value), unit=unit, split=split, count=count)
