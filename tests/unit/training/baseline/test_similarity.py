"""Structural similarity: its value for known pairs, and its range."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from training.baseline.similarity import measure_similarity


def draw(seed: int, *shape: int) -> torch.Tensor:
    """Return random images in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_images_have_a_similarity_of_one() -> None:
    """An image equals itself, in colour and in grey."""
    assert measure_similarity(draw(0, 2, 3, 9, 11), draw(0, 2, 3, 9, 11)).tolist() == [1, 1]


def test_it_equals_the_formula_of_the_paper() -> None:
    """The mean over all 7 x 7 windows of equation 13, with sample covariances."""
    first, second = draw(1, 1, 1, 12, 10), draw(2, 1, 1, 12, 10)
    x, y = first[0, 0].double().numpy(), second[0, 0].double().numpy()

    def average(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, 7)[3:-3, 3:-3]

    scale, means = 49 / 48, (average(x), average(y))
    variances = [scale * (average(v * v) - m * m) for v, m in zip((x, y), means, strict=True)]
    covariance = scale * (average(x * y) - means[0] * means[1])
    expected = (
        (2 * means[0] * means[1] + 1e-4)
        * (2 * covariance + 9e-4)
        / ((means[0] ** 2 + means[1] ** 2 + 1e-4) * (variances[0] + variances[1] + 9e-4))
    ).mean()

    assert measure_similarity(first, second).item() == pytest.approx(expected, abs=1e-6)


def test_blur_lowers_it_more_than_a_brighter_image() -> None:
    """It measures structure: a shift of brightness with the same error is more similar."""
    image = draw(3, 1, 1, 16, 16) * 0.5
    blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    brighter = image + (blurred - image).square().mean().sqrt()

    assert measure_similarity(image, blurred) < measure_similarity(image, brighter)


def test_images_smaller_than_a_window_are_measured() -> None:
    """The window has the shorter side."""
    assert measure_similarity(draw(4, 1, 1, 4, 30), draw(5, 1, 1, 4, 30)).item() < 1
