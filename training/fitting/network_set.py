"""The networks of a bundle, and the training of each.

No function here receives test images.
"""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.errors import RecipeError
from training.fitting.examples import Examples
from training.fitting.gan import fit_gan
from training.fitting.loop import FitJob, fit
from training.fitting.losses import (
    Loss,
    classification_loss,
    denoising_loss,
    fine_tuning_loss,
    reconstruction_loss,
    variational_loss,
)
from training.networks.autoencoders import (
    Autoencoder,
    Encoder,
    VariationalAutoencoder,
    VariationalEncoder,
)
from training.networks.classifiers import Classifier, ClassifierHead
from training.networks.gan import Generator
from training.networks.layers import Shape
from training.randomness import seeded_globally
from training.recipe.schema import FitRecipe, Recipe


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """A bundle's trained networks, in evaluation mode and on one device."""

    autoencoder: Autoencoder
    denoiser: Autoencoder | None
    vae: VariationalAutoencoder | None
    classifier: Classifier | None
    epochs: dict[str, int]
    """The epoch whose weights were kept, for each trained network."""
    gan: Generator | None = None
    """The averaged generator."""


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

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        channels, height, width = self.training.inputs.shape[1:]
        return channels, height, width

    def seeded(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a network's initial weights are drawn."""
        return seeded_globally(self.device, self.recipe.seed, name, "weights")

    def job(self, name: str, recipe: FitRecipe, loss: Loss) -> FitJob:
        """Return the training job of a network."""
        folder = self.folder / name
        return FitJob(name, recipe, loss, self.recipe.seed, folder, self.device, self.on_epoch)


def fit_networks(
    recipe: Recipe,
    training: LabelledImages,
    validation: LabelledImages,
    folder: Path,
    device: torch.device,
) -> NetworkSet:
    """Train, resume or load every network of `recipe`.

    Args:
        recipe: The networks and their hyper-parameters.
        training: Training images.
        validation: Validation images, for early stopping.
        folder: The run folder.
        device: Device of the networks.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
        TrainingError: a loss is infinite or NaN.
    """
    context = FitContext(
        recipe,
        folder,
        device,
        Examples.from_images(training, device),
        Examples.from_images(validation, device),
    )
    epochs: dict[str, int] = {}
    autoencoder = _fit_autoencoder(context, epochs)
    denoiser = _fit_denoiser(context, epochs)
    vae = _fit_vae(context, epochs)
    classifier = _fit_classifier(context, autoencoder.encoder, epochs)
    gan = _fit_gan(context, epochs)
    return NetworkSet(autoencoder, denoiser, vae, classifier, epochs, gan)


def fit_network(name: str, context: FitContext) -> None:
    """Train one network. A classifier needs the autoencoder, whose epochs are not reported.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
        TrainingError: a loss is infinite or NaN.
    """
    epochs: dict[str, int] = {}
    if name == "classifier":
        autoencoder = _fit_autoencoder(replace(context, on_epoch=None), epochs)
        _fit_classifier(context, autoencoder.encoder, epochs)
    else:
        _FITS[name](context, epochs)


@torch.no_grad()
def encode_images(encoder: Encoder | VariationalEncoder, images: Tensor) -> Tensor:
    """Return the latents (N, L) of uint8 images (N, C, H, W); the means for a VAE."""
    outputs = [encoder(batch) for batch, _ in Examples(images).batches()]
    return torch.cat([output[0] if isinstance(output, tuple) else output for output in outputs])


def _fit_autoencoder(context: FitContext, epochs: dict[str, int]) -> Autoencoder:
    recipe = context.recipe.autoencoder
    with context.seeded("autoencoder"):
        network = Autoencoder(context.shape, recipe)
    epochs["autoencoder"] = _fit(network, context, "autoencoder", recipe, reconstruction_loss)
    return network


def _fit_denoiser(context: FitContext, epochs: dict[str, int]) -> Autoencoder | None:
    recipe = context.recipe.denoiser
    if recipe is None:
        return None
    with context.seeded("denoiser"):
        network = Autoencoder(context.shape, recipe)
    loss = denoising_loss(recipe.noise_factors)
    epochs["denoiser"] = _fit(network, context, "denoiser", recipe, loss)
    return network


def _fit_vae(context: FitContext, epochs: dict[str, int]) -> VariationalAutoencoder | None:
    recipe = context.recipe.vae
    if recipe is None:
        return None
    with context.seeded("vae"):
        network = VariationalAutoencoder(context.shape, recipe)
    loss = variational_loss(recipe.likelihood, recipe.beta)
    epochs["vae"] = _fit(network, context, "vae", recipe, loss)
    return network


def _fit_classifier(
    context: FitContext, encoder: Encoder, epochs: dict[str, int]
) -> Classifier | None:
    """Train a head on the frozen encoder's latents, or a head and a copy of the encoder."""
    recipe = context.recipe.classifier
    if recipe is None:
        return None
    labels = context.training.labels
    if labels is None:
        raise RecipeError("classifier: the images have no classes; remove this section")
    with context.seeded("classifier"):
        head = ClassifierHead(context.recipe.autoencoder.latent_size, int(labels.max()) + 1, recipe)
    if recipe.fine_tune:
        classifier = Classifier(copy.deepcopy(encoder), head)
        loss = fine_tuning_loss(recipe.shift, flip=recipe.flip)
        epochs["classifier"] = _fit(classifier, context, "classifier", recipe, loss)
        return classifier
    training, validation = (
        Examples(encode_images(encoder, images.inputs), images.labels)  # once, not in each epoch
        for images in (context.training, context.validation)
    )
    job = context.job("classifier", recipe, classification_loss)
    epochs["classifier"] = fit(head, job, training, validation).best_epoch
    return Classifier(encoder, head).eval()


def _fit_gan(context: FitContext, epochs: dict[str, int]) -> Generator | None:
    recipe = context.recipe.gan
    if recipe is None:
        return None
    epochs["gan"] = recipe.epochs
    seed, folder = context.recipe.seed, context.folder / "gan"
    return fit_gan(recipe, context.training, seed, folder, context.device)


def _fit(network: nn.Module, context: FitContext, name: str, recipe: FitRecipe, loss: Loss) -> int:
    """Train a network on the images; return its best epoch."""
    job = context.job(name, recipe, loss)
    return fit(network, job, context.training, context.validation).best_epoch


_FITS: dict[str, Callable[[FitContext, dict[str, int]], nn.Module | None]] = {
    "autoencoder": _fit_autoencoder,
    "denoiser": _fit_denoiser,
    "vae": _fit_vae,
}
