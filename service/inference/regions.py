"""The strongest regions of an anomaly map, as boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact.tensor_files import Floats

MAX_REGIONS = 5
_MAX_SIDE = 128
"""Larger maps are searched in blocks, which bounds the time."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box around connected places, in pixels of the bundle's images."""

    left: int
    top: int
    width: int
    height: int
    score: float
    """The largest standard score in it."""


def find_regions(places: Floats, threshold: float) -> list[Region]:
    """Return boxes around the connected places (H, W) over a threshold, at most the five strongest.

    Args:
        places: (H, W) standard scores.
        threshold: Places over it belong to a region.
    """
    block = -(-max(places.shape) // _MAX_SIDE)
    coarse = _take_maxima(places, block)
    scores = np.where(coarse > threshold, coarse, -np.inf)
    regions: list[Region] = []
    while len(regions) < MAX_REGIONS and (strongest := scores.max()) > threshold:
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        inside = _grow(np.isfinite(scores), int(row), int(column))
        regions.append(_enclose(inside, float(strongest), block, places.shape))
        scores[inside] = -np.inf
    return regions


def _grow(allowed: NDArray[np.bool_], row: int, column: int) -> NDArray[np.bool_]:
    """Return the allowed places that are connected with one of them, also over corners."""
    padded = np.pad(allowed, 1)  # neighbours need no bounds checks
    width = padded.shape[1]
    free = padded.ravel().tolist()
    start = (row + 1) * width + column + 1
    free[start] = False
    steps = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    pending, found = [start], [start]
    while pending:
        place = pending.pop()
        for step in steps:
            if free[place + step]:
                free[place + step] = False
                pending.append(place + step)
                found.append(place + step)
    inside = np.zeros(padded.size, np.bool_)
    inside[found] = True
    return inside.reshape(padded.shape)[1:-1, 1:-1]


def _take_maxima(places: Floats, block: int) -> Floats:
    """Return the maxima of square blocks of a map (H, W)."""
    height, width = places.shape
    padding = ((0, -height % block), (0, -width % block))
    padded = np.pad(places, padding, constant_values=-np.inf)
    rows, columns = (side // block for side in padded.shape)
    maxima: Floats = padded.reshape(rows, block, columns, block).max(axis=(1, 3))
    return maxima


def _enclose(inside: NDArray[np.bool_], score: float, block: int, shape: tuple[int, ...]) -> Region:
    """Return the box around blocks of a map of shape (H, W), in its pixels."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = int(rows[0]) * block, int(columns[0]) * block
    bottom = min((int(rows[-1]) + 1) * block, shape[0])
    right = min((int(columns[-1]) + 1) * block, shape[1])
    return Region(left, top, right - left, bottom - top, score)
