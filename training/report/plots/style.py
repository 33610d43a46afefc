"""The style of all plots: sizes, colours and PNG output.

Plots are matplotlib Figures on an Agg canvas; matplotlib's global state is unchanged.
"""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DOTS = 150
"""Pixels per inch in the file."""
SHOWN = 100
"""Pixels per inch on the page, which makes plots sharp on high-resolution screens."""
SMALL, NORMAL, LARGE = 8.5, 9.5, 11.0
"""Font sizes in points."""
_MAX_ERROR = 1.5  # invisible mean difference of colours, of 255
_MAX_COLOURED = 1e-4  # share of coloured pixels in a grey plot
INK = "#1f2430"
FAINT = "#c9ced6"
PALETTE = (
    # Petroff, Accessible Color Sequences for Data Visualization, 2021: ten colours that are
    # distinct with colour blindness and in grey, the strongest first.
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
MARKERS = "osD^v"
"""One for each repetition of the palette, if there are more classes than colours."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure with automatic layout; sizes in inches."""
    figure = Figure((width, height), DOTS, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Label axes, and remove the top and right borders."""
    axes.set_title(title, fontsize=LARGE, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=NORMAL, color=INK)
    axes.set_ylabel(y, fontsize=NORMAL, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, width=0.6, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(FAINT)


def add_legend(axes: Axes) -> None:
    """Add a legend with a background that covers the grid."""
    axes.legend(fontsize=SMALL, frameon=True, edgecolor="none", framealpha=0.9, labelcolor=INK)


def colour_of(index: int) -> str:
    """Return the colour of a class or line."""
    return PALETTE[index % len(PALETTE)]


def marker_of(index: int) -> str:
    """Return the marker of a class."""
    return MARKERS[index // len(PALETTE) % len(MARKERS)]


def write_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, with a palette of few colours if the loss is invisible."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DOTS)
    image = Image.open(raw).convert("RGB")
    stream = io.BytesIO()
    _reduce_colours(image).save(stream, "PNG", optimize=True, dpi=(SHOWN, SHOWN))
    return stream.getvalue()


def _reduce_colours(image: Image.Image) -> Image.Image:
    """Return an image with 64 greys or 256 colours; one with many colours stays unchanged."""
    exact = np.asarray(image, int)
    is_grey = (np.ptp(exact, axis=2) > _MAX_ERROR).mean() < _MAX_COLOURED
    reduced = image.quantize(
        64 if is_grey else 256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    difference = np.abs(np.asarray(reduced.convert("RGB"), int) - exact).mean()
    return reduced if difference < _MAX_ERROR else image
