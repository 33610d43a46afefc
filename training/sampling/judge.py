"""The judge: a classifier of real images, independent of every other network, that samples meet.

Letters: N images of C x H x W pixels; K classes; F numbers of a feature vector.
"""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.data.augmentation import vary
from training.data.splits import Splits
from training.errors import TrainingError
from training.fitting.loop import Examples, Fit, divide, fit
from training.fitting.losses import Loss
from training.networks.autoencoders import Shape
from training.randomness import seeded_globally
from training.recipe.schema import JudgeRecipe

_BATCH = 1024
_KEY_LENGTH = 8


class Verdicts(NamedTuple):
    """What a judge says of images."""

    probabilities: NDArray[np.float32]
    """(N, K), each row sums to 1."""
    features: NDArray[np.float32]
    """(N, F), at least 0: the values of the last hidden layer."""


class JudgeNetwork(nn.Module):
    """Pairs of 3 x 3 convolutions with halvings between them, and a hidden layer.

    Simonyan and Zisserman, Very Deep Convolutional Networks, 2015, with BatchNorm. The first of
    the pairs is one convolution only, as it would cost as much as a whole pair further on.
    """

    def __init__(self, image: Shape, classes: int, recipe: JudgeRecipe) -> None:
        """Make the layers for images of shape (C, H, W)."""
        super().__init__()
        channels, height, width = image
        layers = [*_convolve(channels, recipe.channels[0]), _halve()]
        for before, after in itertools.pairwise(recipe.channels):
            layers += [*_convolve(before, after), *_convolve(after, after), _halve()]
        self.convolutions = nn.Sequential(*layers)
        scale = 2 ** len(recipe.channels)
        flat = recipe.channels[-1] * -(-height // scale) * -(-width // scale)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(flat, recipe.hidden), nn.BatchNorm1d(recipe.hidden), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(recipe.dropout), nn.Linear(recipe.hidden, classes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class logits and the features of `images`."""
        features: Tensor = self.hidden(self.convolutions(images))  # (N, C, H, W) -> (N, F)
        logits: Tensor = self.head(features)  # -> (N, K)
        return logits, features


@dataclass(frozen=True, slots=True)
class Judge:
    """A trained judge, in evaluation mode on a device."""

    network: JudgeNetwork
    device: torch.device

    @torch.no_grad()
    def examine(self, images: Tensor) -> Verdicts:
        """Return class probabilities and features, computed a batch at a time.

        Args:
            images: (N, C, H, W), uint8 or float32 in [0, 1], on any device.
        """
        examples = Examples(images)
        probabilities, features = [], []
        for batch in divide(torch.arange(len(images), device=images.device), _BATCH):
            logits, found = self.network(examples.take(batch)[0].to(self.device))
            probabilities.append(torch.softmax(logits, dim=1).cpu())
            features.append(found.cpu())
        return Verdicts(torch.cat(probabilities).numpy(), torch.cat(features).numpy())


def fit_judge(
    recipe: JudgeRecipe, splits: Splits, seed: int, runs: Path, device: torch.device
) -> Judge:
    """Fit, resume or read back the judge of a data set, on its real training images only.

    It is kept in `locate_judge`'s folder, which all runs with the same images share.

    Raises:
        TrainingError: the images have no classes, or a loss became infinite or NaN.
        RunError: its checkpoint cannot be read.
    """
    labels = splits.train.labels
    if labels is None:
        raise TrainingError("judge: these images have no classes to tell apart")
    with seeded_globally(device, seed, "judge", "weights"):
        network = JudgeNetwork(splits.image.shape, int(labels.max()) + 1, recipe)
    loss = judging_loss(recipe.shift, flip=recipe.flip)
    folder = locate_judge(recipe, splits, seed, runs)
    training, validation = (
        Examples.from_images(images, device) for images in (splits.train, splits.validation)
    )
    fit(network, Fit("judge", recipe, loss, seed, folder, device), training, validation)
    return Judge(network, device)


def locate_judge(recipe: JudgeRecipe, splits: Splits, seed: int, runs: Path) -> Path:
    """Return the folder in `runs` of the judge with this recipe, seed and images.

    Another recipe, seed or split has another folder, so that no judge is taken for another.
    """
    asked = f"{recipe.model_dump_json()} {seed} {splits.digest()}"
    key = hashlib.sha256(asked.encode()).hexdigest()[:_KEY_LENGTH]
    return runs / f"judge-{splits.dataset}-{key}"


def judging_loss(shift: int, *, flip: bool) -> Loss:
    """Return the cross-entropy, in nats, of a judge; only in training are the images varied."""

    def loss(
        network: nn.Module, images: Tensor, labels: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        if labels is None:
            raise ValueError("a judge needs labels")
        seen = vary(images, shift, generator, flip=flip) if network.training else images
        logits, _ = network(seen)
        return functional.cross_entropy(logits, labels)

    return loss


def _convolve(before: int, after: int) -> list[nn.Module]:
    """One convolution that keeps height and width: (N, before, h, w) -> (N, after, h, w)."""
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def _halve() -> nn.Module:
    """Halve height and width, rounded up so that no small image vanishes."""
    return nn.MaxPool2d(2, ceil_mode=True)
