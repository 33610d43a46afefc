"""The networks of a bundle, and the training of each.

No function here receives test images.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from service.artifact.manifest import SpaceName
from training.data.splits import LabelledImages
from training.errors import RecipeError
from training.fitting.examples import Examples
from training.fitting.gan import fit_gan
from training.fitting.loop import FitJob, fit
from training.fitting.losses import (
    Loss,
    augmented_loss,
    classification_loss,
    denoising_loss,
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

_Network = TypeVar("_Network", bound=nn.Module)


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

    @property
    def spaces(self) -> dict[SpaceName, Autoencoder | VariationalAutoencoder]:
        """The autoencoder of each latent space."""
        if self.vae is None:
            return {"autoencoder": self.autoencoder}
        return {"autoencoder": self.autoencoder, "vae": self.vae}


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
    epochs: dict[str, int] = field(default_factory=dict)
    """The best epoch of each trained network."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        channels, height, width = self.training.inputs.shape[1:]
        return channels, height, width

    def fit(
        self, name: str, recipe: FitRecipe, make: Callable[[], _Network], loss: Loss
    ) -> _Network:
        """Create a network with seeded weights, and train it on the images."""
        network = self.seeded(name, make)
        self.epochs[name] = fit(
            network, self.job(name, recipe, loss), self.training, self.validation
        ).best_epoch
        return network

    def seeded(self, name: str, make: Callable[[], _Network]) -> _Network:
        """Create a network with seeded weights."""
        with seeded_globally(self.device, self.recipe.seed, name, "weights"):
            return make()

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
    examples = [Examples.from_images(images, device) for images in (training, validation)]
    context = FitContext(recipe, folder, device, examples[0], examples[1])
    autoencoder = _fit_autoencoder(context)
    return NetworkSet(
        autoencoder=autoencoder,
        denoiser=_fit_denoiser(context),
        vae=_fit_vae(context),
        classifier=_fit_classifier(context, autoencoder.encoder),
        gan=_fit_gan(context),
        epochs=context.epochs,
    )


def fit_network(name: str, context: FitContext) -> None:
    """Train one network. A classifier needs the autoencoder, whose epochs are not reported.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
        TrainingError: a loss is infinite or NaN.
    """
    if name == "classifier":
        autoencoder = _fit_autoencoder(replace(context, on_epoch=None))
        _fit_classifier(context, autoencoder.encoder)
    else:
        _FITS[name](context)


@torch.no_grad()
def encode_images(encoder: Encoder | VariationalEncoder, images: Tensor) -> Tensor:
    """Return the latents (N, L) of uint8 images (N, C, H, W); the means for a VAE."""
    outputs = [encoder(batch) for batch, _ in Examples(images).batches()]
    return torch.cat([output[0] if isinstance(output, tuple) else output for output in outputs])


def _fit_autoencoder(context: FitContext) -> Autoencoder:
    recipe, shape = context.recipe.autoencoder, context.shape
    return context.fit(
        "autoencoder", recipe, lambda: Autoencoder(shape, recipe), reconstruction_loss
    )


def _fit_denoiser(context: FitContext) -> Autoencoder | None:
    recipe, shape = context.recipe.denoiser, context.shape
    if recipe is None:
        return None
    loss = denoising_loss(recipe.noise_factors)
    return context.fit("denoiser", recipe, lambda: Autoencoder(shape, recipe), loss)


def _fit_vae(context: FitContext) -> VariationalAutoencoder | None:
    recipe, shape = context.recipe.vae, context.shape
    if recipe is None:
        return None
    loss = variational_loss(recipe.likelihood, recipe.beta)
    return context.fit("vae", recipe, lambda: VariationalAutoencoder(shape, recipe), loss)


def _fit_classifier(context: FitContext, encoder: Encoder) -> Classifier | None:
    """Train a head on the frozen encoder's latents, or a head and a copy of the encoder."""
    recipe, labels = context.recipe.classifier, context.training.labels
    if recipe is None:
        return None
    if labels is None:
        raise RecipeError("classifier: the images have no classes; remove this section")
    latent_size, classes = context.recipe.autoencoder.latent_size, int(labels.max()) + 1
    head = context.seeded("classifier", lambda: ClassifierHead(latent_size, classes, recipe))
    if recipe.fine_tune:
        classifier = Classifier(copy.deepcopy(encoder), head)
        loss = augmented_loss(recipe.shift, flip=recipe.flip)
        return context.fit("classifier", recipe, lambda: classifier, loss)
    training, validation = (
        Examples(encode_images(encoder, images.inputs), images.labels)  # once, not in each epoch
        for images in (context.training, context.validation)
    )
    job = context.job("classifier", recipe, classification_loss)
    context.epochs["classifier"] = fit(head, job, training, validation).best_epoch
    return Classifier(encoder, head).eval()


def _fit_gan(context: FitContext) -> Generator | None:
    recipe = context.recipe.gan
    if recipe is None:
        return None
    context.epochs["gan"] = recipe.epochs
    seed, folder = context.recipe.seed, context.folder / "gan"
    return fit_gan(recipe, context.training, seed, folder, context.device)


_FITS: dict[str, Callable[[FitContext], nn.Module | None]] = {
    "autoencoder": _fit_autoencoder,
    "denoiser": _fit_denoiser,
    "vae": _fit_vae,
}
