"""The baseline: PCA, the code size, mirrored images, and the linear classifier."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from service.artifact import ImageSpec
from training.baseline.components import choose_size, fit_subspace, project, restore
from training.baseline.linear import fit_linear
from training.baseline.measure import fit_baseline
from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe

SEED = 3


def make_recipe(**sections: object) -> Recipe:
    """Return a recipe of digits with an autoencoder."""
    members = {"name": "b", "data": {"dataset": "digits"}, "autoencoder": {"latent_size": 8}}
    return parse_recipe({**members, **sections})


def read_digits(folder: Path) -> Splits:
    """Return scikit-learn's digits."""
    return read_data(make_recipe(), folder, folder)


def make_waves(count: int, size: int) -> np.ndarray:
    """Return images (count, 1, 8, 8) that are sums of `size` patterns with equal variance."""
    rng = np.random.default_rng(SEED)
    patterns = np.linalg.qr(rng.standard_normal((64, size)))[0].T
    values = rng.standard_normal((count, size)) @ patterns
    return np.clip(128 + 40 * values, 0, 255).astype(np.uint8).reshape(count, 1, 8, 8)


def test_the_components_are_those_of_pca(tmp_path: Path) -> None:
    """The reconstruction error equals that of scikit-learn's exact PCA, clipped."""
    pixels = read_digits(tmp_path).train.pixels
    rows = pixels.reshape(len(pixels), -1) / 255
    exact = PCA(8, svd_solver="full").fit(rows)
    expected = np.square(np.clip(exact.inverse_transform(exact.transform(rows)), 0, 1) - rows)

    subspace = fit_subspace(pixels, 8, SEED)

    error = np.square(restore(subspace, project(subspace, pixels)) - rows).mean()
    assert error == pytest.approx(expected.mean(), rel=1e-3)
    assert subspace.total_variance == pytest.approx(rows.var(axis=0, ddof=1).sum(), rel=1e-4)


@pytest.mark.parametrize(("patterns", "size"), [(3, 8), (20, 19), (40, 38)])
def test_the_code_size_follows_the_spectrum(patterns: int, size: int) -> None:
    """It is the number of patterns in the images for 95 % of the variance, and at least 8."""
    subspace = fit_subspace(make_waves(600, patterns), 64, SEED)

    assert choose_size(subspace, 0.95) == pytest.approx(size, abs=2)


def test_more_components_than_images_are_empty() -> None:
    """Twelve images have eleven directions; the code size is at most that."""
    subspace = fit_subspace(make_waves(12, 40), 64, SEED)

    assert subspace.components.shape == (64, 64)
    assert choose_size(subspace, 0.999) <= 11


def test_explained_variance_settles_the_latent_sizes(tmp_path: Path) -> None:
    """Both networks get a number, fewer for a smaller share, and the baseline has the first."""
    recipe = make_recipe(
        autoencoder={"architecture": "residual", "explained_variance": 0.95},
        vae={"architecture": "residual", "explained_variance": 0.7},
    )

    settled, baseline = fit_baseline(recipe, read_digits(tmp_path))

    assert settled.vae is not None
    assert 8 <= settled.vae.latent_size < settled.autoencoder.latent_size < 40
    assert settled.autoencoder.explained_variance is None
    assert len(baseline.subspace.variances) == settled.autoencoder.latent_size


def test_digits_are_not_mirrored_and_symmetrical_textures_are(tmp_path: Path) -> None:
    """`flip = "auto"` becomes what validation images show."""
    digits = read_digits(tmp_path)
    waves = make_waves(400, 30)
    waves[::2] = waves[::2, ..., ::-1]
    waves = np.concatenate([waves, waves[..., ::-1]])
    textures = LabelledImages(waves, None)
    image = ImageSpec(channels=1, height=8, width=8)
    splits = Splits("textures", image, None, textures, textures, textures)
    recipe = make_recipe(autoencoder={"latent_size": 8, "flip": "auto"})

    assert fit_baseline(recipe, digits)[0].autoencoder.flip is False
    assert fit_baseline(recipe, splits)[0].autoencoder.flip is True


def test_the_baseline_measures_error_similarity_and_accuracy(tmp_path: Path) -> None:
    """Digits with 8 numbers: values of the known order, and no accuracy without a classifier."""
    splits = read_digits(tmp_path)

    with_classes = fit_baseline(make_recipe(classifier={}), splits)[1].measure(splits.test, "test")
    without = fit_baseline(make_recipe(), splits)[1].measure(splits.test, "test")

    assert 0.01 < with_classes["pca_mse"].value < 0.05
    assert 0.5 < with_classes["pca_ssim"].value < 1
    assert with_classes["pca_accuracy"].value > 80
    assert without.keys() == {"pca_mse", "pca_ssim"}


def test_two_classes_have_one_logit_each(tmp_path: Path) -> None:
    """scikit-learn's single row for two classes becomes two."""
    digits = read_digits(tmp_path)
    two = [part.take(np.flatnonzero(part.labels < 2)) for part in (digits.train, digits.validation)]
    subspace = fit_subspace(two[0].pixels, 8, SEED)

    linear = fit_linear(subspace, *two, SEED)

    assert linear.weights.shape == (2, 8)
    assert linear.accuracy(project(subspace, two[1].pixels), two[1].labels) > 95
