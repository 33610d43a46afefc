"""What the trainings of a run share, and the network and the loss of each.

No function here receives test images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from training.baseline.components import fit_subspace
from training.baseline.linear import LinearClassifier
from training.baseline.measure import Baseline
from training.errors import RecipeError
from training.fitting.examples import Examples
from training.fitting.loop import FitJob
from training.fitting.losses import (
    Loss,
    augmented_loss,
    denoising_loss,
    reconstruction_loss,
    variational_loss,
    weigh_classes,
)
from training.fitting.runs.checkpoints import CHECKPOINT_FILE
from training.fitting.runs.continuation import load_start
from training.fitting.time_bar import TimeBar
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.classifiers import ImageClassifier
from training.networks.layers import Shape
from training.networks.principal import Subspace, choose_pool
from training.randomness import seeded_globally
from training.recipe.schema import AutoencoderRecipe, ClassifierRecipe, FitRecipe, Recipe

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class FitContext:
    """The inputs shared by all trainings of a run."""

    recipe: Recipe
    folder: Path
    """The run folder; each network has a sub-folder."""
    device: torch.device
    training: Examples
    validation: Examples
    on_epoch: Callable[[int, float], None] | None = None
    """As in `loop.FitJob`."""
    baseline: Baseline | None = None
    """What networks start from; None: those that start at PCA fit it to the training images."""
    bar: TimeBar | None = None
    """The bar of the whole training, if its time is planned."""
    epochs: dict[str, int] = field(default_factory=dict)
    """The best epoch of each trained network; 0 for one that remained its start."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        channels, height, width = self.training.inputs.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes.

        Raises:
            RecipeError: the images are unlabelled.
        """
        if self.training.labels is None:
            raise RecipeError("classifier: the images have no classes; remove this section")
        return int(self.training.labels.max()) + 1

    def seeded(self, name: str, make: Callable[[], Network]) -> Network:
        """Create a network with seeded weights."""
        with seeded_globally(self.device, self.recipe.seed, name, "weights"):
            return make()

    def job(self, name: str, recipe: FitRecipe, loss: Loss) -> FitJob:
        """Return the training job of a network."""
        return FitJob(
            name,
            recipe,
            loss,
            self.recipe.seed,
            self.folder / name,
            self.device,
            self.on_epoch,
            keeps_start=_starts_at_baseline(recipe),
            bar=self.bar,
        )

    def find_start(self, name: str, recipe: AutoencoderRecipe) -> Subspace | None:
        """Return the components that a network starts at; None if it does not, or has weights."""
        if not _starts_at_baseline(recipe) or (self.folder / name / CHECKPOINT_FILE).exists():
            return None
        size, pool = recipe.latent_size, choose_pool(self.shape, recipe.latent_size)
        known = None if self.baseline is None else self.baseline.subspace
        if pool == 1 and known is not None and len(known.variances) >= size:
            return known.head(size)
        return fit_subspace(self.training.inputs.cpu().numpy(), size, self.recipe.seed, pool)


@dataclass(frozen=True, slots=True)
class Task:
    """A network to train on images."""

    name: str
    """The recipe section."""
    recipe: FitRecipe
    network: nn.Module
    loss: Loss


def make_task(name: str, context: FitContext) -> Task | None:
    """Return the task of a recipe section; None for a network that is not trained on images.

    A continued run's network has the weights of its origin.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
    """
    task = _TASKS[name](context)
    if task is not None:
        load_start(task.network, context.folder / name)
    return task


def _make_autoencoder(context: FitContext) -> Task:
    recipe = context.recipe.autoencoder
    start = context.find_start("autoencoder", recipe)
    network = context.seeded("autoencoder", lambda: Autoencoder(context.shape, recipe, start))
    return Task("autoencoder", recipe, network, reconstruction_loss(recipe))


def _make_denoiser(context: FitContext) -> Task | None:
    recipe = context.recipe.denoiser
    if recipe is None:
        return None
    start = context.find_start("denoiser", recipe)
    network = context.seeded("denoiser", lambda: Autoencoder(context.shape, recipe, start))
    return Task("denoiser", recipe, network, denoising_loss(recipe))


def _make_vae(context: FitContext) -> Task | None:
    recipe = context.recipe.vae
    if recipe is None:
        return None
    start = context.find_start("vae", recipe)
    network = context.seeded("vae", lambda: VariationalAutoencoder(context.shape, recipe, start))
    return Task("vae", recipe, network, variational_loss(recipe))


def _make_classifier(context: FitContext) -> Task | None:
    """Return the task of a classifier with convolutions of its own."""
    recipe = context.recipe.classifier
    if recipe is None or recipe.channels is None:
        return None
    classes, labels = context.classes, context.training.labels
    network = context.seeded("classifier", lambda: ImageClassifier(context.shape, classes, recipe))
    baseline = context.baseline
    if baseline is not None and baseline.linear is not None and network.linear.pool == 1:
        _start_classifier(network, baseline.subspace, baseline.linear)
    weights = weigh_classes(labels) if recipe.balanced and labels is not None else None
    loss = augmented_loss(recipe.shift, flip=recipe.flip is True, edge=True, weights=weights)
    return Task("classifier", recipe, network, loss)


def _start_classifier(
    network: ImageClassifier, subspace: Subspace, linear: LinearClassifier
) -> None:
    """Set the network's regression on pixels to a regression on principal components."""
    network.linear.set_map(linear.weights @ subspace.components, subspace.mean)
    network.linear.bias.copy_(torch.from_numpy(linear.biases.astype(np.float32)))


def _starts_at_baseline(recipe: FitRecipe) -> bool:
    if isinstance(recipe, AutoencoderRecipe):
        return recipe.architecture == "residual"
    return isinstance(recipe, ClassifierRecipe) and recipe.channels is not None


_TASKS: dict[str, Callable[[FitContext], Task | None]] = {
    "autoencoder": _make_autoencoder,
    "denoiser": _make_denoiser,
    "vae": _make_vae,
    "classifier": _make_classifier,
}
