"""Grids of images; each pixel becomes a square.

R rows and K columns of images of C x H x W pixels in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.report.plots.style import DOTS, INK, NORMAL, SMALL, new_figure

_WIDTH = 1350  # approximate maximum width of the plot, in pixels
_MAX_SIDE = 120  # maximum length of an image's longer side, in pixels
_GAP = 4
_LINE = 24  # height of a text line, in pixels
_LETTER = 11  # approximate width of a letter, in pixels
_EDGE = 8


def draw_image_grid(
    images: NDArray[np.float32],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Figure:
    """Plot images in rows and columns.

    Args:
        images: (R, K, C, H, W).
        rows: A label for each row, or empty.
        columns: A title for each column, or empty.
        notes: A text below each column, or empty.
    """
    letters = max((len(line) for label in rows for line in label.splitlines()), default=0)
    left = _EDGE + letters * _LETTER + (10 if rows else 0)
    top, bottom = (_EDGE + _LINE * _count_lines(texts) for texts in (columns, notes))
    pixels = tile_images(images, _choose_scale(images, left))
    height, width = pixels.shape[:2]
    total = (left + width + _EDGE, top + height + bottom)
    figure = new_figure(total[0] / DOTS, total[1] / DOTS)
    figure.set_layout_engine("none")
    axes = figure.add_axes(
        (left / total[0], bottom / total[1], width / total[0], height / total[1])
    )
    axes.imshow(pixels, vmin=0, vmax=1, cmap="gray", interpolation="none", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=NORMAL, labelcolor=INK)
    y, x = _find_centres(height, images.shape[0]), _find_centres(width, images.shape[1])
    axes.set_yticks(y if rows else [], list(rows) or None)
    axes.set_xticks(x if notes else [], list(notes) or None)
    axes.tick_params(axis="x", labelsize=SMALL)
    for centre, text in zip(x, columns, strict=bool(columns)):
        axes.text(centre, -6, text, ha="center", va="bottom", fontsize=SMALL, color=INK)
    return figure


def tile_images(images: NDArray[np.float32], scale: int, gap: int = _GAP) -> NDArray[np.float32]:
    """Return one image, (height, width) or (height, width, 3), with all images (R, K, C, H, W).

    Args:
        images: The images, in [0, 1].
        scale: Side of the square that a pixel becomes.
        gap: White pixels between two images.
    """
    scaled = images.repeat(scale, axis=3).repeat(scale, axis=4)
    padded = np.pad(scaled, ((0, 0), (0, 0), (0, 0), (0, gap), (0, gap)), constant_values=1)
    rows, columns, channels, height, width = padded.shape
    tiled = padded.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    cropped = tiled[: rows * height - gap, : columns * width - gap]
    image: NDArray[np.float32] = cropped[:, :, 0] if channels == 1 else cropped
    return image


def _count_lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts), default=0)


def _choose_scale(images: NDArray[np.float32], left: int) -> int:
    columns, _, height, width = images.shape[1:]
    fits: int = ((_WIDTH - left) // columns - _GAP) // width
    largest: int = _MAX_SIDE // max(height, width)
    return max(1, min(fits, largest))


def _find_centres(length: int, count: int) -> list[float]:
    """Return the centres of `count` images with gaps in between, within `length` pixels."""
    step = (length + _GAP) / count
    return [(index + 0.5) * step - _GAP / 2 - 0.5 for index in range(count)]
