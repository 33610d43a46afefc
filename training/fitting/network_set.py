"""The networks of a bundle: which are made, and what each is fitted to.

Only training and validation images come in here; the test images cannot.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.errors import RecipeError
from training.fitting.gan import Generator, fit_gan
from training.fitting.loop import Examples, Fit, divide, fit
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
    Classifier,
    Encoder,
    Head,
    Shape,
    VariationalAutoencoder,
    VariationalEncoder,
)
from training.randomness import seeded_globally
from training.recipe.schema import FitRecipe, Recipe

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Networks:
    """A bundle's trained networks, in evaluation mode and on one device."""

    autoencoder: Autoencoder
    denoiser: Autoencoder | None
    vae: VariationalAutoencoder | None
    classifier: Classifier | None
    epochs: dict[str, int]
    """Epochs until the kept weights, for each network that was fitted."""
    gan: Generator | None = None
    """The average of its generator."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all networks of a run are fitted with."""

    recipe: Recipe
    folder: Path
    """The run's folder; each network has its own inside."""
    device: torch.device
    training: Examples
    validation: Examples
    report: Callable[[int, float], None] | None = None
    """As in `loop.Fit`."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        channels, height, width = self.training.inputs.shape[1:]
        return channels, height, width


def fit_networks(
    recipe: Recipe,
    training: LabelledImages,
    validation: LabelledImages,
    folder: Path,
    device: torch.device,
) -> Networks:
    """Fit, resume or read back every network of `recipe`.

    Args:
        recipe: What to fit.
        training: The images to learn from.
        validation: The images that choose the best weights.
        folder: The run's folder.
        device: Where to compute.

    Raises:
        RecipeError: a classifier is wanted of images without classes.
        TrainingError: a loss became infinite or NaN.
    """
    shop = Workshop(
        recipe,
        folder,
        device,
        Examples.from_images(training, device),
        Examples.from_images(validation, device),
    )
    epochs: dict[str, int] = {}
    autoencoder = _fit_autoencoder(shop, epochs)
    denoiser = _fit_denoiser(shop, epochs)
    vae = _fit_vae(shop, epochs)
    classifier = _fit_classifier(shop, autoencoder.encoder, epochs)
    gan = _fit_gan(shop, epochs)
    return Networks(autoencoder, denoiser, vae, classifier, epochs, gan)


def fit_network(name: str, shop: Workshop) -> None:
    """Fit one network, and for `classifier` first the autoencoder, whose epochs are not reported.

    Raises:
        RecipeError: a classifier is wanted of images without classes.
        TrainingError: a loss became infinite or NaN.
    """
    epochs: dict[str, int] = {}
    if name == "denoiser":
        _fit_denoiser(shop, epochs)
    elif name == "vae":
        _fit_vae(shop, epochs)
    elif name == "autoencoder":
        _fit_autoencoder(shop, epochs)
    else:
        autoencoder = _fit_autoencoder(replace(shop, report=None), epochs)
        _fit_classifier(shop, autoencoder.encoder, epochs)


@torch.no_grad()
def encode(encoder: Encoder | VariationalEncoder, images: Tensor) -> Tensor:
    """Return the codes (N, L) of uint8 `images` (N, C, H, W), a batch at a time; a VAE's means."""
    examples = Examples(images)
    batches = divide(torch.arange(len(images), device=images.device), _BATCH)
    outputs = [encoder(examples.take(batch)[0]) for batch in batches]
    return torch.cat([output[0] if isinstance(output, tuple) else output for output in outputs])


def _fit_autoencoder(shop: Workshop, epochs: dict[str, int]) -> Autoencoder:
    recipe = shop.recipe.autoencoder
    with seeded_globally(shop.device, shop.recipe.seed, "autoencoder", "weights"):
        network = Autoencoder(shop.shape, recipe)
    epochs["autoencoder"] = _fit(network, shop, "autoencoder", recipe, reconstruction_loss)
    return network


def _fit_denoiser(shop: Workshop, epochs: dict[str, int]) -> Autoencoder | None:
    recipe = shop.recipe.denoiser
    if recipe is None:
        return None
    with seeded_globally(shop.device, shop.recipe.seed, "denoiser", "weights"):
        network = Autoencoder(shop.shape, recipe)
    loss = denoising_loss(recipe.noise_factors)
    epochs["denoiser"] = _fit(network, shop, "denoiser", recipe, loss)
    return network


def _fit_vae(shop: Workshop, epochs: dict[str, int]) -> VariationalAutoencoder | None:
    recipe = shop.recipe.vae
    if recipe is None:
        return None
    with seeded_globally(shop.device, shop.recipe.seed, "vae", "weights"):
        network = VariationalAutoencoder(shop.shape, recipe)
    loss = variational_loss(recipe.likelihood, recipe.beta)
    epochs["vae"] = _fit(network, shop, "vae", recipe, loss)
    return network


def _fit_classifier(shop: Workshop, encoder: Encoder, epochs: dict[str, int]) -> Classifier | None:
    """Fit a head to the frozen encoder's codes, or a head and a copy of the encoder to images."""
    recipe = shop.recipe.classifier
    if recipe is None:
        return None
    labels = shop.training.labels
    if labels is None:
        raise RecipeError("classifier: these images have no classes to tell apart")
    with seeded_globally(shop.device, shop.recipe.seed, "classifier", "weights"):
        head = Head(shop.recipe.autoencoder.latent_size, int(labels.max()) + 1, recipe)
    if recipe.fine_tune:
        classifier = Classifier(copy.deepcopy(encoder), head)
        loss = fine_tuning_loss(recipe.shift, flip=recipe.flip)
        epochs["classifier"] = _fit(classifier, shop, "classifier", recipe, loss)
        return classifier
    training, validation = (
        Examples(encode(encoder, images.inputs), images.labels)  # once, not in each epoch
        for images in (shop.training, shop.validation)
    )
    job = _describe_fit(shop, "classifier", recipe, classification_loss)
    epochs["classifier"] = fit(head, job, training, validation).best_epoch
    return Classifier(encoder, head).eval()


def _fit_gan(shop: Workshop, epochs: dict[str, int]) -> Generator | None:
    recipe = shop.recipe.gan
    if recipe is None:
        return None
    epochs["gan"] = recipe.epochs
    return fit_gan(recipe, shop.training, shop.recipe.seed, shop.folder / "gan", shop.device)


def _fit(network: nn.Module, shop: Workshop, name: str, recipe: FitRecipe, loss: Loss) -> int:
    """Fit a network to the images; return the epochs until the kept weights."""
    job = _describe_fit(shop, name, recipe, loss)
    return fit(network, job, shop.training, shop.validation).best_epoch


def _describe_fit(shop: Workshop, name: str, recipe: FitRecipe, loss: Loss) -> Fit:
    place = shop.folder / name
    return Fit(name, recipe, loss, shop.recipe.seed, place, shop.device, shop.report)
