"""Structural similarity of images.

Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004, with
the uniform window and the sample covariance of scikit-image's default.
"""

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW = 7
_STABILISERS = (0.01**2, 0.03**2)  # for values in [0, 1]


def measure_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean structural similarity of each pair of images, in [-1, 1]; 1 for equal ones.

    Args:
        first: (N, C, H, W) in [0, 1].
        second: The same shape.

    Returns:
        (N,): the mean over the channels and all 7 x 7 windows inside the image; images with a
        shorter side have one window of that side.
    """
    side = min(_WINDOW, *first.shape[2:])

    def average(maps: Tensor) -> Tensor:
        return functional.avg_pool2d(maps, side, stride=1)

    first, second = first.double(), second.double()  # variances are differences of large numbers
    means = average(first), average(second)
    sample = side**2 / max(side**2 - 1, 1)
    variances = [
        sample * (average(images.square()) - mean.square())
        for images, mean in zip((first, second), means, strict=True)
    ]
    covariance = sample * (average(first * second) - means[0] * means[1])
    small, large = _STABILISERS
    luminance = (2 * means[0] * means[1] + small) / (means[0].square() + means[1].square() + small)
    structure = (2 * covariance + large) / (variances[0] + variances[1] + large)
    similarity: Tensor = (luminance * structure).flatten(1).mean(dim=1).float()
    return similarity


def measure_pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error per pixel and the similarity of each pair, each (N,)."""
    return (first - second).square().flatten(1).mean(dim=1), measure_similarity(first, second)


def mean_of(values: list[Tensor]) -> float:
    """Return the mean over batches of values (n,)."""
    return float(torch.cat(values).double().mean())
