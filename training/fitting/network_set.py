"""The networks of a bundle, and the training of each.

No function here receives test images.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from service.artifact.specs import SpaceName
from training.fitting.adversarial.gan import fit_gan
from training.fitting.adversarial.vae import fit_sharp_vae
from training.fitting.examples import Examples
from training.fitting.loop import fit
from training.fitting.losses import augmented_loss, classification_loss, weigh_classes
from training.fitting.preview import PREVIEW_FILE, write_preview
from training.fitting.runs.continuation import START_FILE
from training.fitting.tasks import FitContext, Task, make_task
from training.networks.autoencoders import (
    AnyEncoder,
    AnyVariationalEncoder,
    Autoencoder,
    VariationalAutoencoder,
)
from training.networks.classifiers import Classifier, ClassifierHead, ImageClassifier
from training.networks.gan import Generator
from training.networks.residual import drop_refinement

_START = f"autoencoder/{START_FILE}"


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """A bundle's trained networks, in evaluation mode and on one device."""

    autoencoder: Autoencoder
    denoiser: Autoencoder | None
    vae: VariationalAutoencoder | None
    classifier: Classifier | ImageClassifier | None
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


def fit_networks(context: FitContext) -> NetworkSet:
    """Train, resume or load every network of the context's recipe.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
        TrainingError: a loss is infinite or NaN.
    """
    autoencoder = _fit_autoencoder(context)
    return NetworkSet(
        autoencoder=autoencoder,
        denoiser=_fit_denoiser(context),
        vae=_fit_vae(context),
        classifier=_fit_classifier(context, autoencoder.encoder),
        gan=_fit_gan(context),
        epochs=context.epochs,
    )


def fit_network(name: str, context: FitContext) -> nn.Module | None:
    """Train one network, and return it; None if the recipe has no such section.

    A classifier needs the autoencoder, whose epochs are not reported.

    Raises:
        RecipeError: the recipe has a classifier, but the images are unlabelled.
        TrainingError: a loss is infinite or NaN.
    """
    if name == "classifier":
        autoencoder = _fit_autoencoder(replace(context, on_epoch=None))
        return _fit_classifier(context, autoencoder.encoder)
    return _FITS[name](context)


@torch.no_grad()
def encode_images(encoder: AnyEncoder | AnyVariationalEncoder, images: Tensor) -> Tensor:
    """Return the latents (N, L) of uint8 images (N, C, H, W); the means for a VAE."""
    outputs = [encoder(batch) for batch, _ in Examples(images).batches()]
    return torch.cat([output[0] if isinstance(output, tuple) else output for output in outputs])


def fit_task(name: str, context: FitContext) -> nn.Module | None:
    """Train the network of a recipe section on images; None if the section is missing."""
    task = make_task(name, context)
    if task is None:
        return None
    job = context.job(name, task.recipe, task.loss)
    if context.bar is not None:
        job = replace(job, on_epoch=_watch(task, context))
    progress = fit(task.network, job, context.training, context.validation)
    context.epochs[name] = progress.best_epoch
    return task.network


def _watch(task: Task, context: FitContext) -> Callable[[int, float], None]:
    """Return a callback that writes the network's preview after each epoch."""
    path = context.folder / task.name / PREVIEW_FILE
    return lambda _epoch, _loss: write_preview(path, task.network, context.validation)


def _fit_autoencoder(context: FitContext) -> Autoencoder:
    network = cast("Autoencoder", fit_task("autoencoder", context))
    if not context.epochs["autoencoder"] and not (context.folder / _START).exists():
        drop_refinement(network.encoder, network.decoder)
    return network


def _fit_denoiser(context: FitContext) -> Autoencoder | None:
    return cast("Autoencoder | None", fit_task("denoiser", context))


def _fit_vae(context: FitContext) -> VariationalAutoencoder | None:
    recipe = context.recipe.vae
    if recipe is None or not recipe.is_sharp:
        return cast("VariationalAutoencoder | None", fit_task("vae", context))
    network = cast("Task", make_task("vae", context)).network
    return fit_sharp_vae(cast("VariationalAutoencoder", network), recipe, context)


def _fit_classifier(
    context: FitContext, encoder: AnyEncoder
) -> Classifier | ImageClassifier | None:
    """Train a head on the frozen encoder's latents, a head and a copy of the encoder, or a network.

    Raises:
        RecipeError: the images are unlabelled.
    """
    recipe = context.recipe.classifier
    if recipe is None:
        return None
    if recipe.channels:
        return cast("ImageClassifier", fit_task("classifier", context))
    latent_size, classes = context.recipe.autoencoder.latent_size, context.classes
    head = context.seeded("classifier", lambda: ClassifierHead(latent_size, classes, recipe))
    weights = None
    if recipe.balanced and context.training.labels is not None:
        weights = weigh_classes(context.training.labels)
    if recipe.fine_tune:
        classifier = Classifier(copy.deepcopy(encoder), head)
        loss = augmented_loss(recipe.shift, flip=recipe.flip is True, weights=weights)
        job = context.job("classifier", recipe, loss)
        progress = fit(classifier, job, context.training, context.validation)
        context.epochs["classifier"] = progress.best_epoch
        return classifier
    training, validation = (
        Examples(encode_images(encoder, images.inputs), images.labels)  # once, not in each epoch
        for images in (context.training, context.validation)
    )
    job = context.job("classifier", recipe, classification_loss(weights))
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
    "gan": _fit_gan,
}
