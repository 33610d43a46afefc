"""How all figures look: sizes, colours, and PNG out.

Figures are matplotlib's own objects on the Agg canvas; nothing global is touched.
"""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DOTS = 150
"""Pixels an inch in the file."""
SHOWN = 100
"""Pixels an inch on the page, so that a figure is sharp on a dense screen."""
SMALL, NORMAL, LARGE = 8.5, 9.5, 11.0
"""Points."""
_UNSEEN = 1.5  # of 255
_UNSEEN_SHARE = 1e-4  # of a picture's pixels
INK = "#1f2430"
FAINT = "#c9ced6"
PALETTE = (
    # Petroff, Accessible Color Sequences for Data Visualization, 2021: ten that stay apart for
    # the colour-blind and in grey; the order puts the strongest first.
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
MARKERS = "osD^v"
"""One for each round through the palette, where there are more classes than colours."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of a size in inches, which arranges its own axes."""
    figure = Figure((width, height), DOTS, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Label axes, and leave of their frame what is read."""
    axes.set_title(title, fontsize=LARGE, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=NORMAL, color=INK)
    axes.set_ylabel(y, fontsize=NORMAL, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, width=0.6, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(FAINT)


def add_key(axes: Axes) -> None:
    """Name an axes' lines, on a ground that hides the grid."""
    axes.legend(fontsize=SMALL, frameon=True, edgecolor="none", framealpha=0.9, labelcolor=INK)


def colour_of(index: int) -> str:
    """Return a class's colour, or a line's."""
    return PALETTE[index % len(PALETTE)]


def marker_of(index: int) -> str:
    """Return a class's marker."""
    return MARKERS[index // len(PALETTE) % len(MARKERS)]


def write_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, with as few colours as one does not see the lack of."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS)
    picture = Image.open(drawn).convert("RGB")
    stream = io.BytesIO()
    _reduce(picture).save(stream, "PNG", optimize=True, dpi=(SHOWN, SHOWN))
    return stream.getvalue()


def _reduce(picture: Image.Image) -> Image.Image:
    """Return a picture with 64 greys, or 256 colours; a colour photograph as it is."""
    exact = np.asarray(picture, int)
    is_grey = (np.ptp(exact, axis=2) > _UNSEEN).mean() < _UNSEEN_SHARE
    few = picture.quantize(
        64 if is_grey else 256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    difference = np.abs(np.asarray(few.convert("RGB"), int) - exact).mean()
    return few if difference < _UNSEEN else picture
