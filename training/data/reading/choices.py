"""The image format of a data set, chosen from its survey where the recipe leaves it open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from service.artifact import ImageSpec
from training.data.reading.survey import Color, Look
from training.data.sources.catalogue import Catalogue
from training.data.sources.names import show_list
from training.errors import DataError
from training.recipe.schema import DataRecipe

Channels: TypeAlias = Literal[1, 3]
Resize: TypeAlias = Literal["pad", "crop", "stretch"]

_MIN_SIDE = 8
_SIDE_STEP = 8
"""Images that are reduced anyway get sides that convolutions halve three times."""
_MAX_COLOR_PART = 0.01
_TRANSPARENT_PART = 0.5
_BRIGHT = 200
_PLAIN_PART = 0.8
_MAX_DISTANCE = 24
_CLIPPED_PART = 1e-4
_WHOLE_RANGE = 0.9 * 65_535
_EQUAL_ASPECTS = 1.02


@dataclass(frozen=True, slots=True)
class Choice:
    """An image format, and the lines that explain it."""

    image: ImageSpec
    notes: tuple[str, ...]


def choose_image(recipe: DataRecipe, looks: Sequence[Look], catalogue: Catalogue) -> Choice:
    """Return the recipe's image format, with unset members inferred from the looks.

    Raises:
        DataError: the recipe's background has another number of channels.
    """
    channels, color_note = _choose_channels(recipe, looks, catalogue)
    height, width = _choose_sides(recipe, looks)
    color, has_plain = _choose_background(looks)
    resize: Resize = recipe.resize or ("pad" if has_plain else "crop")
    background = recipe.background or _to_channels(color, channels)
    if len(background) != channels:
        raise DataError(
            f"data.background: expected {channels} values (one per channel), got {len(background)}"
        )
    levels = recipe.levels or _choose_levels(looks)
    image = ImageSpec(
        channels=channels,
        height=height,
        width=width,
        resize=resize,
        background=background,
        levels=levels,
    )
    notes = (
        f"images: {height} x {width} pixels (height x width), {color_note}",
        _describe_fit(image, looks),
        _describe_levels(image, looks),
    )
    return Choice(image, tuple(note for note in notes if note))


def _choose_channels(
    recipe: DataRecipe, looks: Sequence[Look], catalogue: Catalogue
) -> tuple[Channels, str]:
    colored = [look for look in looks if not look.is_grey]
    few = len(colored) <= _MAX_COLOR_PART * len(looks)
    channels: Channels = recipe.channels or (1 if few else 3)
    note = "colour" if channels == 3 else "grey"  # noqa: PLR2004 - red, green and blue
    if channels == 1 and colored:
        names = show_list(catalogue.names[look.index] for look in colored)
        subject = "one image is" if len(colored) == 1 else f"{len(colored)} images are"
        note += f"; {subject} in colour and read as grey ({names}; --channels 3 keeps colours)"
    return channels, note


def _choose_sides(recipe: DataRecipe, looks: Sequence[Look]) -> tuple[int, int]:
    height = float(np.median([look.height for look in looks]))
    width = float(np.median([look.width for look in looks]))
    scale = min(1.0, recipe.max_side / max(height, width))  # preserves the aspect ratio
    step = _SIDE_STEP if scale < 1 else 1

    def fit(side: float) -> int:
        return max(_MIN_SIDE, min(recipe.max_side, step * round(side * scale / step)))

    return recipe.height or fit(height), recipe.width or fit(width)


def _choose_background(looks: Sequence[Look]) -> tuple[Color, bool]:
    """Return the background's colour, and whether padding with it continues the images."""
    transparent = [look for look in looks if look.is_transparent]
    if len(transparent) >= _TRANSPARENT_PART * len(looks):
        brightness = float(np.median([look.brightness for look in transparent]))
        level = 0 if brightness > _BRIGHT else 255
        return np.full(3, level, np.uint8), True
    borders = np.stack([look.border for look in looks]).astype(int)
    color = np.median(borders, axis=0)
    is_near = np.abs(borders - color).max(axis=1) <= _MAX_DISTANCE
    is_plain = np.array([look.has_plain_border for look in looks])
    return color.astype(np.uint8), bool((is_near & is_plain).mean() >= _PLAIN_PART)


def _to_channels(color: Color, channels: int) -> tuple[float, ...]:
    red, green, blue = (int(value) for value in color)
    values = (
        (red, green, blue)
        if channels > 1
        else (round((299 * red + 587 * green + 114 * blue) / 1000),)
    )
    return tuple(round(value / 255, 4) for value in values)


def _choose_levels(looks: Sequence[Look]) -> tuple[int, int] | None:
    """Return the levels of 16-bit images that become black and white; None: the whole range.

    One pixel in ten thousand may be clipped at each end: detectors have defective pixels.
    """
    deep = [look.levels for look in looks if look.levels is not None]
    if not deep:
        return None
    low, high = np.quantile(np.concatenate(deep), [_CLIPPED_PART, 1 - _CLIPPED_PART])
    if high - low >= _WHOLE_RANGE or high <= low:
        return None
    return int(low), int(np.ceil(high))


def _describe_fit(image: ImageSpec, looks: Sequence[Look]) -> str:
    ratio = image.width / image.height
    relative = np.array([look.width / look.height / ratio for look in looks])
    varies = np.maximum(relative, 1 / relative) > _EQUAL_ASPECTS
    if not varies.any():
        return ""
    share = f"{100 * varies.mean():.0f} % of the images have another aspect ratio"
    color = ", ".join(f"{value:.2g}" for value in image.background)
    if image.resize == "crop":
        lost = 100 * (1 - np.minimum(relative, 1 / relative)).mean()
        return (
            f"fit: {share}; they are cropped at the centre, which cuts off {lost:.0f} % on average"
        )
    if image.resize == "pad":
        return f"fit: {share}; they are padded with the background ({color})"
    return f"fit: {share}; they are stretched"


def _describe_levels(image: ImageSpec, looks: Sequence[Look]) -> str:
    count = sum(look.levels is not None for look in looks)
    if not count:
        return ""
    low, high = image.levels or (0, 65_535)
    return f"levels: 16-bit images use {low} to {high}, which become black and white"
