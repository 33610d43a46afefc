"""The verdict in plain words: better, equal, worse, or PCA itself, and what to do."""

import pytest

from service.artifact import Metric
from training.evaluation.verdict import describe_verdict
from training.recipe.parsing import parse_recipe


def judge(
    error: float,
    similarity: float = 0.95,
    accuracy: float | None = None,
    *,
    images: int = 500,
    is_pca: bool = False,
    architecture: str = "residual",
) -> str:
    """Return the verdict of a network beside PCA with an error of 0.01."""
    values = {
        "reconstruction_mse": error,
        "pca_mse": 0.01,
        "reconstruction_ssim": similarity,
        "pca_ssim": 0.9,
    }
    if accuracy is not None:
        values |= {"classifier_accuracy": accuracy, "pca_accuracy": 60.0}
    metrics = {
        name: Metric(value=value, unit="x", split="test", count=9) for name, value in values.items()
    }
    network = {"architecture": architecture, "latent_size": 32}
    recipe = parse_recipe({"name": "a", "data": {"dataset": "b"}, "autoencoder": network})
    return "\n".join(describe_verdict(metrics, recipe, images, is_pca=is_pca))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (0.0075, "better than PCA with the same 32 numbers: its error is 25 % smaller"),
        (0.01001, "as good as PCA with the same 32 numbers"),
        (0.013, "worse than PCA with the same 32 numbers: its error is 30 % larger"),
    ],
)
def test_the_error_is_compared_with_pca(error: float, expected: str) -> None:
    """Per cent of PCA's error."""
    assert expected in judge(error)


def test_a_bundle_that_is_pca_says_so() -> None:
    """It names what would help: images if there are few, time if there are many."""
    assert "The autoencoder is PCA with 32 numbers" in judge(0.01, is_pca=True)
    assert "More than the 500 training images would help" in judge(0.01, is_pca=True)
    assert "--minutes 30" in judge(0.01, is_pca=True, images=50_000)


def test_another_architecture_that_loses_is_told_to_start_at_pca() -> None:
    """The fix is the recipe key."""
    assert "autoencoder.architecture=residual" in judge(0.02, architecture="conv")


def test_blurred_images_need_more_numbers() -> None:
    """A similarity below 0.9 names the flag with twice the size."""
    assert "--latent-size 64" in judge(0.008, similarity=0.7)
    assert "--latent-size" not in judge(0.008, similarity=0.93)


def test_a_classifier_near_the_baseline_needs_more_images_or_time() -> None:
    """Both accuracies are given."""
    assert "right for 60.5 % of the test images" in judge(0.008, accuracy=60.5)
    assert "More images per class" in judge(0.008, accuracy=60.5)
    assert "More images per class" not in judge(0.008, accuracy=70.0)
