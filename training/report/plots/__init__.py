"""Figures of what was trained; each takes arrays and gives a matplotlib Figure."""

from training.report.plots.curves import (
    History,
    draw_confusion,
    draw_histograms,
    draw_losses,
    draw_sweeps,
)
from training.report.plots.mosaics import draw_mosaic
from training.report.plots.spaces import draw_manifold, draw_path, draw_scatters
from training.report.plots.style import write_png

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
