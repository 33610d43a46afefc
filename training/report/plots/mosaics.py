"""Images side by side, each pixel a square.

Letters: R rows and K columns of images of C x H x W in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.report.plots.style import DOTS, INK, NORMAL, SMALL, new_figure

_WIDTH = 1350  # pixels of the whole figure, at most about
_LARGEST = 120  # pixels of an image's longer side, at most
_GAP = 4
_LINE = 24  # pixels of a line of text
_LETTER = 11  # pixels of a letter, about
_EDGE = 8


def draw_mosaic(
    images: NDArray[np.float32],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Figure:
    """Draw images in rows.

    Args:
        images: (R, K, C, H, W).
        rows: A label for each row, or none.
        columns: A title for each column, or none.
        notes: A line below each column, or none.
    """
    letters = max((len(line) for label in rows for line in label.splitlines()), default=0)
    left = _EDGE + letters * _LETTER + (10 if rows else 0)
    top, bottom = (_EDGE + _LINE * _count_lines(texts) for texts in (columns, notes))
    pixels = lay_out(images, _choose_scale(images, left))
    height, width = pixels.shape[:2]
    whole = (left + width + _EDGE, top + height + bottom)
    figure = new_figure(whole[0] / DOTS, whole[1] / DOTS)
    figure.set_layout_engine("none")
    axes = figure.add_axes(
        (left / whole[0], bottom / whole[1], width / whole[0], height / whole[1])
    )
    axes.imshow(pixels, vmin=0, vmax=1, cmap="gray", interpolation="none", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=NORMAL, labelcolor=INK)
    middles, centres = _centres(height, images.shape[0]), _centres(width, images.shape[1])
    axes.set_yticks(middles if rows else [], list(rows) or None)
    axes.set_xticks(centres if notes else [], list(notes) or None)
    axes.tick_params(axis="x", labelsize=SMALL)
    for place, text in zip(centres, columns, strict=bool(columns)):
        axes.text(place, -6, text, ha="center", va="bottom", fontsize=SMALL, color=INK)
    return figure


def lay_out(images: NDArray[np.float32], scale: int, gap: int = _GAP) -> NDArray[np.float32]:
    """Return one picture, (height, width) or (height, width, 3), of images (R, K, C, H, W).

    Args:
        images: The images, in [0, 1].
        scale: Pixels of a pixel.
        gap: White pixels between two images.
    """
    large = images.repeat(scale, axis=3).repeat(scale, axis=4)
    padded = np.pad(large, ((0, 0), (0, 0), (0, 0), (0, gap), (0, gap)), constant_values=1)
    rows, columns, channels, height, width = padded.shape
    whole = padded.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    cut = whole[: rows * height - gap, : columns * width - gap]
    picture: NDArray[np.float32] = cut[:, :, 0] if channels == 1 else cut
    return picture


def _count_lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts), default=0)


def _choose_scale(images: NDArray[np.float32], left: int) -> int:
    columns, _, height, width = images.shape[1:]
    fitting: int = ((_WIDTH - left) // columns - _GAP) // width
    largest: int = _LARGEST // max(height, width)
    return max(1, min(fitting, largest))


def _centres(length: int, count: int) -> list[float]:
    """Return the middles of `count` images with gaps, over `length` pixels."""
    step = (length + _GAP) / count
    return [(index + 0.5) * step - _GAP / 2 - 0.5 for index in range(count)]
