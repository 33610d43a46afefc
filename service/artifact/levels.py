"""The automatic inversion: the paper of a drawing becomes black and its ink white.

The border of an image shows the paper. A plane fitted to it follows light that falls off across a
photograph of a page. Photographs of other subjects have an uneven border and keep their levels.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from service.artifact.tensor_files import Floats

_LEVEL = 1 / 255
_MAX_UNEVENNESS = 16 * _LEVEL
"""Distance from the plane within which 90 % of a border that shows paper lie."""
_EVEN_PART = 0.9
_MAX_PAPER = 8 * _LEVEL
"""A darker paper, after the inversion, is black enough if the ink is light enough."""
_MIN_INK = 0.9
_MIN_CONTRAST = 0.1
"""A fainter ink is noise on an empty page."""


def has_light_border(image: NDArray[np.floating]) -> bool:
    """Return whether the border of a (..., H, W) image in [0, 1] has a mean over one half."""
    edges = (image[..., 0, :], image[..., -1, :], image[..., :, 0], image[..., :, -1])
    return bool(np.mean([edge.mean() for edge in edges]) > 1 / 2)


def to_light_on_dark(image: Floats) -> Floats:
    """Invert an image with a light border, and stretch the levels of paper and ink to 0 and 1.

    Images whose levels are right keep every value: a border within 8/255 of black and ink over
    0.9, or a border that is not even.

    Args:
        image: (C, H, W) in [0, 1].

    Returns:
        (C, H, W) in [0, 1].
    """
    light: Floats = np.float32(1) - image if has_light_border(image) else image
    channels, height, width = light.shape
    plane, border = _fit_border(height, width)
    values = light.reshape(channels, -1)
    samples = values[:, border]
    paper = samples @ plane  # (C, H * W)
    ink = float((values - paper).max())
    is_right = np.abs(paper).max() <= _MAX_PAPER and ink >= _MIN_INK
    unevenness = np.quantile(np.abs(samples - paper[:, border]), _EVEN_PART)
    if is_right or ink < _MIN_CONTRAST or unevenness > _MAX_UNEVENNESS:
        return light
    stretched: Floats = ((values - paper) / np.float32(ink)).clip(0, 1)
    return stretched.reshape(light.shape)


@lru_cache(maxsize=64)
def _fit_border(height: int, width: int) -> tuple[Floats, NDArray[np.intp]]:
    """Return the linear map from border pixels (B,) to their plane (H * W,), and their indices."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones(rows.size), rows.ravel(), columns.ravel()])  # (3, H * W)
    is_border = np.zeros((height, width), dtype=bool)
    is_border[[0, -1]] = is_border[:, [0, -1]] = True
    border = np.flatnonzero(is_border)
    return (np.linalg.pinv(terms[:, border]) @ terms).astype(np.float32), border
