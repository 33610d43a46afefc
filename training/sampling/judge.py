"""The judge: a classifier of real images, independent of all other networks of a run.

N images of C x H x W pixels; K classes; F features.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.splits import Splits
from training.errors import TrainingError
from training.fitting.examples import Examples
from training.fitting.loop import FitJob, fit
from training.fitting.losses import augmented_loss
from training.networks.classifiers import JudgeNetwork
from training.randomness import seeded_globally
from training.recipe.schema import JudgeRecipe

_KEY_LENGTH = 8


class JudgeOutput(NamedTuple):
    """The outputs of a judge for N images."""

    probabilities: NDArray[np.float32]
    """(N, K), each row sums to 1."""
    features: NDArray[np.float32]
    """(N, F), at least 0: the activations of the last hidden layer."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A trained judge, in evaluation mode on a device."""

    network: JudgeNetwork
    device: torch.device

    @torch.no_grad()
    def predict(self, images: Tensor) -> JudgeOutput:
        """Return class probabilities and features.

        Args:
            images: (N, C, H, W), uint8 or float32 in [0, 1], on any device.
        """
        all_probabilities, all_features = [], []
        for batch, _ in Examples(images).batches():
            logits, features = self.network(batch.to(self.device))
            all_probabilities.append(torch.softmax(logits, dim=1).cpu())
            all_features.append(features.cpu())
        return JudgeOutput(torch.cat(all_probabilities).numpy(), torch.cat(all_features).numpy())


def fit_judge(
    recipe: JudgeRecipe, splits: Splits, seed: int, runs: Path, device: torch.device
) -> Judge:
    """Train, resume or load the judge of a data set. It learns real training images only.

    Runs with the same images share its folder, `locate_judge`.

    Raises:
        TrainingError: the images are unlabelled, or a loss is infinite or NaN.
        RunError: its checkpoint cannot be read.
    """
    labels = splits.train.labels
    if labels is None:
        raise TrainingError("judge: the images have no classes; remove this section")
    with seeded_globally(device, seed, "judge", "weights"):
        network = JudgeNetwork(splits.image.shape, int(labels.max()) + 1, recipe)
    loss = augmented_loss(recipe.shift, flip=recipe.flip is True)
    folder = locate_judge(recipe, splits, seed, runs)
    training, validation = (
        Examples.from_images(images, device) for images in (splits.train, splits.validation)
    )
    fit(network, FitJob("judge", recipe, loss, seed, folder, device), training, validation)
    return Judge(network, device)


def locate_judge(recipe: JudgeRecipe, splits: Splits, seed: int, runs: Path) -> Path:
    """Return the folder in `runs` of the judge with this recipe, seed and data set."""
    identity = f"{recipe.model_dump_json()} {seed} {splits.digest()}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:_KEY_LENGTH]
    return runs / f"judge-{splits.dataset}-{key}"
