"""The baseline of a training: PCA with as many numbers as the autoencoder's latents.

It is fitted to training images; validation images compare and choose, test images are measured
once.
"""

from dataclasses import dataclass

import numpy as np
import torch

from service.artifact import Metric
from training.baseline.components import (
    MAX_SIZE,
    choose_size,
    fit_subspace,
    project,
    restore,
)
from training.baseline.linear import LinearClassifier, fit_linear
from training.baseline.similarity import mean_of, measure_pair
from training.data.splits import LabelledImages, Pixels, Splits
from training.networks.principal import Floats, Subspace
from training.recipe.schema import AutoencoderRecipe, Recipe

_CHUNK = 1024
_CHOICE = 2000  # validation images that decide
_MIRROR_TOLERANCE = 1.05
_ACCURACY_TOLERANCE = 2.0  # percent


@dataclass(frozen=True, slots=True)
class Baseline:
    """PCA and a linear classifier on its codes."""

    subspace: Subspace
    """As many components as the autoencoder has latents, or more."""
    linear: LinearClassifier | None
    """None for images without classes, and for recipes without a classifier."""
    mirrored: bool
    """Whether mirrored validation images are as likely as the images themselves."""

    def measure(self, images: LabelledImages, split: str) -> dict[str, Metric]:
        """Return `pca_mse`, `pca_ssim` and, with classes, `pca_accuracy` on images."""
        errors, similarities, codes = [], [], []
        for start in range(0, len(images), _CHUNK):
            chunk = images.pixels[start : start + _CHUNK]
            codes.append(project(self.subspace, chunk))
            restored = torch.from_numpy(restore(self.subspace, codes[-1])).reshape(chunk.shape)
            error, similarity = measure_pair(torch.from_numpy(chunk).float() / 255, restored)
            errors.append(error)
            similarities.append(similarity)
        values = {
            "pca_mse": (mean_of(errors), "mse"),
            "pca_ssim": (mean_of(similarities), "ssim"),
        }
        if self.linear is not None and images.labels is not None:
            accuracy = self.linear.accuracy(np.concatenate(codes), images.labels)
            values["pca_accuracy"] = (accuracy, "percent")
        return {
            name: Metric.model_validate(
                {"value": value, "unit": unit, "split": split, "count": len(images)}
            )
            for name, (value, unit) in values.items()
        }


def fit_baseline(recipe: Recipe, splits: Splits) -> tuple[Recipe, Baseline]:
    """Fit PCA to the training images, and settle what the recipe leaves to the data.

    Returns:
        The recipe with the latent sizes that `explained_variance` selects and without `auto`, and
        the baseline at the autoencoder's latent size.
    """
    sizes = [_max_size(section) for section in (recipe.autoencoder, recipe.vae) if section]
    subspace = fit_subspace(splits.train.pixels, max(sizes), recipe.seed)
    changes: dict[str, object] = {}
    for name in ("autoencoder", "vae"):
        section = getattr(recipe, name)
        if section is not None and section.explained_variance is not None:
            size = choose_size(subspace, section.explained_variance)
            settled = {"latent_size": size, "explained_variance": None}
            changes[name] = section.model_copy(update=settled)
    recipe = recipe.model_copy(update=changes)
    baseline = _fit_classifier(recipe, splits, subspace.head(recipe.autoencoder.latent_size))
    return _settle_flips(recipe, baseline), baseline


def _fit_classifier(recipe: Recipe, splits: Splits, subspace: Subspace) -> Baseline:
    held = splits.validation.take(np.arange(min(len(splits.validation), _CHOICE)))
    linear = None
    if recipe.classifier is not None and splits.classes is not None:
        linear = fit_linear(subspace, splits.train, held, recipe.seed)
    return Baseline(subspace, linear, _is_mirrored(subspace, linear, held))


def _settle_flips(recipe: Recipe, baseline: Baseline) -> Recipe:
    """Replace `flip = "auto"` by what the validation images show."""
    changes = {}
    for name in ("autoencoder", "denoiser", "vae", "classifier"):
        section = getattr(recipe, name)
        if section is not None and section.flip == "auto":
            changes[name] = section.model_copy(update={"flip": baseline.mirrored})
    return recipe.model_copy(update=changes)


def _is_mirrored(subspace: Subspace, linear: LinearClassifier | None, held: LabelledImages) -> bool:
    """Return whether PCA restores and the classifier recognises mirrored images as well.

    Mirrored photographs do; mirrored letters and digits are other letters, or none.
    """
    mirror = held.pixels[..., ::-1].copy()
    codes, mirrored = project(subspace, held.pixels), project(subspace, mirror)
    worse = _error(subspace, mirror, mirrored) / max(_error(subspace, held.pixels, codes), 1e-9)
    if worse > _MIRROR_TOLERANCE:
        return False
    if linear is None or held.labels is None:
        return True
    loss = linear.accuracy(codes, held.labels) - linear.accuracy(mirrored, held.labels)
    return loss <= _ACCURACY_TOLERANCE


def _error(subspace: Subspace, pixels: Pixels, codes: Floats) -> float:
    rows = pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
    return float(np.square(restore(subspace, codes) - rows).mean())


def _max_size(section: AutoencoderRecipe) -> int:
    return MAX_SIZE if section.explained_variance is not None else section.latent_size
