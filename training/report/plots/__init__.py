"""Plots as functions from arrays to a matplotlib Figure."""

from training.report.plots.curves import (
    History,
    draw_confusion,
    draw_histograms,
    draw_losses,
    draw_sweeps,
)
from training.report.plots.image_grids import draw_image_grid
from training.report.plots.latent_spaces import draw_manifold, draw_path, draw_scatters
from training.report.plots.style import write_png

__all__ = [
    "History",
    "draw_confusion",
    "draw_histograms",
    "draw_image_grid",
    "draw_losses",
    "draw_manifold",
    "draw_path",
    "draw_scatters",
    "draw_sweeps",
    "write_png",
]
