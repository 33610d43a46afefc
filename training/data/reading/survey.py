"""The survey of a data set: sizes, colours, borders and levels of a sample of its images."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.reading.files import count_threads, decode_item, open_item
from training.data.sources.catalogue import Catalogue

Color: TypeAlias = NDArray[np.uint8]
"""(3,) red, green and blue."""

SAMPLE = 1500
"""Images that are surveyed: all of a smaller data set."""
_SIDE = 64
"""Sides of the reduced image whose colours are measured."""
_MAX_CHROMA = 16
"""Difference of red, green and blue that noise and JPEG cause in grey images, of 255."""
_GREY_PART = 0.99
_MAX_UNEVENNESS = 16
_PLAIN_PART = 0.9
_TRANSPARENT_PART = 0.01
_LEVELS = 4096
"""16-bit values that are kept of an image."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an image looks like."""

    index: int
    """Its position in the catalogue."""
    height: int
    width: int
    is_grey: bool
    is_transparent: bool
    border: Color
    """The median colour of the border."""
    has_plain_border: bool
    brightness: float
    """Mean of the opaque pixels, 0 to 255."""
    levels: NDArray[np.uint16] | None
    """Values of a 16-bit image; None for 8 bits."""


def survey(catalogue: Catalogue, indices: Sequence[int], seed: int) -> list[Look]:
    """Return the looks of a random sample of the images, without those that are unreadable."""
    chosen: Iterable[int] = indices
    if len(indices) > SAMPLE:
        rng = np.random.Generator(np.random.PCG64(seed))
        chosen = np.sort(rng.choice(np.asarray(indices), SAMPLE, replace=False)).tolist()
    with ThreadPoolExecutor(count_threads()) as pool:
        looks = pool.map(lambda index: _look(catalogue, index), chosen)
        return [look for look in looks if look is not None]


def _look(catalogue: Catalogue, index: int) -> Look | None:
    try:
        file = open_item(catalogue.read(index))
        height, width = file.height, file.width
        image = decode_item(file, _SIDE, _SIDE)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - libraries raise any type; decoding names the image
        return None
    levels = None
    if image.mode.startswith("I"):
        values = np.asarray(image).ravel()
        levels = values[:: max(1, len(values) // _LEVELS)].astype(np.uint16)
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    colors, alpha = _reduce(image)
    opaque = alpha > 127  # noqa: PLR2004 - half
    chroma = np.ptp(colors[opaque].astype(int), axis=1)
    border, has_plain_border = _measure_border(colors)
    return Look(
        index,
        height,
        width,
        is_grey=bool(not len(chroma) or (chroma <= _MAX_CHROMA).mean() >= _GREY_PART),
        is_transparent=bool((~opaque).mean() >= _TRANSPARENT_PART),
        border=border,
        has_plain_border=has_plain_border,
        brightness=float(colors[opaque].mean()) if opaque.any() else 0.0,
        levels=levels,
    )


def _reduce(image: Image.Image) -> tuple[Color, NDArray[np.uint8]]:
    """Return the colours (H, W, 3) and the opacity (H, W) of an image reduced to 64 x 64."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    size = (min(_SIDE, image.width), min(_SIDE, image.height))
    reduced = np.asarray(image.convert(mode).resize(size, Image.Resampling.BOX))
    alpha = reduced[..., 3] if mode == "RGBA" else np.full(reduced.shape[:2], 255, np.uint8)
    return reduced[..., :3], alpha


def _measure_border(colors: Color) -> tuple[Color, bool]:
    """Return the median colour of the border, and whether most of the border has it."""
    ring = np.concatenate([colors[0], colors[-1], colors[:, 0], colors[:, -1]]).astype(int)
    median = np.median(ring, axis=0)
    is_even = np.abs(ring - median).max(axis=1) <= _MAX_UNEVENNESS
    return median.astype(np.uint8), bool(is_even.mean() >= _PLAIN_PART)
