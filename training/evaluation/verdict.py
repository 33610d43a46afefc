"""The verdict of a training in plain words: its networks against the baseline of the same size."""

from collections.abc import Iterator, Mapping

from service.artifact import Metric
from training.recipe.schema import Recipe

_EQUAL = 0.005
_FEW_IMAGES = 2000
_RECOGNISABLE = 0.9
_MARGIN = 2.0  # percent


def describe_verdict(
    metrics: Mapping[str, Metric], recipe: Recipe, images: int, *, is_pca: bool
) -> list[str]:
    """Return the verdict, one sentence each.

    Args:
        metrics: Test metrics, with those of the baseline.
        recipe: The settled recipe.
        images: Number of training images.
        is_pca: Whether no epoch was better than PCA, which the bundle then serves.
    """
    return [
        *_describe_images(metrics, recipe, images, is_pca=is_pca),
        *_describe_similarity(metrics, recipe),
        *_describe_classes(metrics, recipe),
    ]


def _describe_images(
    metrics: Mapping[str, Metric], recipe: Recipe, images: int, *, is_pca: bool
) -> Iterator[str]:
    size = recipe.autoencoder.latent_size
    if is_pca:
        yield (
            f"The autoencoder is PCA with {size} numbers: no network was better on validation "
            f"images. {_advise(recipe, images)}"
        )
        return
    ratio = metrics["reconstruction_mse"].value / max(metrics["pca_mse"].value, 1e-12)
    if abs(ratio - 1) <= _EQUAL:
        yield f"The autoencoder is as good as PCA with the same {size} numbers (error)."
    elif ratio < 1:
        yield (
            f"The autoencoder is better than PCA with the same {size} numbers: "
            f"its error is {100 * (1 - ratio):.0f} % smaller."
        )
    else:
        yield (
            f"The autoencoder is worse than PCA with the same {size} numbers: its error is "
            f"{100 * (ratio - 1):.0f} % larger. {_advise(recipe, images)}"
        )


def _advise(recipe: Recipe, images: int) -> str:
    if recipe.autoencoder.architecture != "residual":
        return "Set autoencoder.architecture=residual, which starts at PCA."
    if images < _FEW_IMAGES:
        return f"More than the {images:,} training images would help."
    minutes = 3 * (recipe.minutes or 10)
    return f"More time may help: --minutes {minutes:g}."


def _describe_similarity(metrics: Mapping[str, Metric], recipe: Recipe) -> Iterator[str]:
    similarity = metrics["reconstruction_ssim"].value
    baseline = metrics["pca_ssim"].value
    sentence = f"Its structural similarity is {similarity:.2f} (PCA {baseline:.2f}; 1 is equal)."
    if similarity < _RECOGNISABLE:
        size = 2 * recipe.autoencoder.latent_size
        sentence += f" For sharper images: --latent-size {size}."
    yield sentence


def _describe_classes(metrics: Mapping[str, Metric], recipe: Recipe) -> Iterator[str]:
    if "classifier_accuracy" not in metrics or "pca_accuracy" not in metrics:
        return
    accuracy, baseline = (metrics[f"{name}_accuracy"].value for name in ("classifier", "pca"))
    sentence = (
        f"The classifier is right for {accuracy:.1f} % of the test images, logistic regression on "
        f"PCA codes for {baseline:.1f} %."
    )
    if accuracy < baseline + _MARGIN and baseline < 100 - _MARGIN:
        minutes = 3 * (recipe.minutes or 10)
        sentence += f" More images per class or more time may help: --minutes {minutes:g}."
    yield sentence
