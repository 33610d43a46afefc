"""Figures of what was trained; each takes arrays and gives a matplotlib Figure."""

from training.plots.curves import (
    History,
    draw_confusion,
    draw_histograms,
    draw_losses,
    draw_sweeps,
)
from training.plots.mosaics import draw_mosaic
from training.plots.spaces import draw_manifold, draw_path, draw_scatters
from training.plots.style import write_png

__all__ = [
    "History",
    "draw_confusion",
    "draw_histograms",
    "draw_losses",
    "draw_manifold",
    "draw_mosaic",
    "draw_path",
    "draw_scatters",
    "draw_sweeps",
    "write_png",
]
