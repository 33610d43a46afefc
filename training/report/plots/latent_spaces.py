"""Plots of a latent space: scatter plots coloured by class, grids of decoded points, paths.

N points.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from training.report.plots.image_grids import tile_images
from training.report.plots.style import (
    FAINT,
    INK,
    NORMAL,
    SMALL,
    colour_of,
    marker_of,
    new_figure,
    tidy,
)

Points: TypeAlias = NDArray[np.float32]
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="white")]
_MAX_CLASSES = 25
_LABEL_WIDTH, _LABEL_HEIGHT = 0.17, 0.045  # relative to a panel


def draw_scatters(
    panels: Mapping[str, tuple[Points, NDArray[np.int64] | None]],
    classes: Sequence[str] | None,
    *,
    shared: bool = False,
) -> Figure:
    """Plot points coloured by class, one panel per title.

    Args:
        panels: By title: points (N, 2) and their class indices (N,), or None.
        classes: The class names, or None.
        shared: Whether all panels have the same scale.
    """
    figure = new_figure(9, 4.9 if classes else 4.4)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=shared, sharey=shared)
    for axes, (title, (points, labels)) in zip(grid.flat, panels.items(), strict=True):
        scatter(axes, points, labels)
        tidy(axes, title)
        axes.set_xticks([])
        axes.set_yticks([])
        if labels is not None and classes and len(classes) <= _MAX_CLASSES:
            _label_clusters(axes, points, labels, classes)
    if classes and len(classes) <= _MAX_CLASSES:
        _add_legend(figure, classes)
    return figure


def scatter(axes: Axes, points: Points, labels: NDArray[np.int64] | None) -> None:
    """Plot points (N, 2) with the colour and marker of their class (N,)."""
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, c=colour_of(0), lw=0, alpha=0.6)
        return
    for label in np.unique(labels):
        members = points[labels == label]
        colour, marker = colour_of(label), marker_of(label)
        axes.scatter(members[:, 0], members[:, 1], s=6, c=colour, marker=marker, lw=0, alpha=0.75)


def _label_clusters(
    axes: Axes, points: Points, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    present = np.unique(labels)
    medians = np.stack([np.median(points[labels == label], axis=0) for label in present])
    extent = np.maximum(np.ptp(points, axis=0), 1e-9)
    for label, (x, y) in zip(present, _separate(medians / extent) * extent, strict=True):
        text = axes.text(x, y, classes[label], ha="center", va="center", fontsize=SMALL, color=INK)
        text.set_path_effects(_HALO)


def _separate(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move overlapping labels (K, 2) upwards, in units of the panel."""
    separated = points.copy()
    order = separated[:, 1].argsort()
    for rank, index in enumerate(order):
        for other in order[:rank]:
            dx, dy = separated[index] - separated[other]
            if abs(dx) < _LABEL_WIDTH and abs(dy) < _LABEL_HEIGHT:
                separated[index, 1] = separated[other, 1] + _LABEL_HEIGHT
    return separated


def _add_legend(figure: Figure, classes: Sequence[str]) -> None:
    handles = [
        figure.axes[0].scatter(
            [], [], s=28, c=colour_of(index), marker=marker_of(index), label=name
        )
        for index, name in enumerate(classes)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5, fontsize=SMALL, frameon=False
    )


def draw_manifold(
    images: NDArray[np.float32], extent: tuple[float, float, float, float], x: str, y: str
) -> Figure:
    """Plot the decoded points of a grid over a plane.

    Args:
        images: (R, K, C, H, W); the first row is at the top.
        extent: The left, right, bottom and top edges of the plane.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
    """
    columns, _, height, width = images.shape[1:]
    pixels = tile_images(images, max(1, 1000 // (columns * width)), gap=2)
    figure = new_figure(6.6, 6.6 * height / width + 0.3)
    axes = figure.subplots()
    ratio = (extent[1] - extent[0]) / (extent[3] - extent[2]) * height / width
    axes.imshow(
        pixels,
        extent=extent,
        vmin=0,
        vmax=1,
        cmap="gray",
        interpolation="nearest",
        aspect=ratio * images.shape[0] / columns,
    )
    tidy(axes, "", x, y)
    return figure


def draw_path(
    latents: Points,
    labels: NDArray[np.int64] | None,
    points: Points,
    classes: Sequence[str] | None,
) -> Figure:
    """Plot a path of numbered points (K, 2) over latents (N, 2) of a plane (report 002)."""
    figure = new_figure(6.6, 5)
    axes = figure.subplots()
    scatter(axes, latents, labels)
    axes.plot(points[:, 0], points[:, 1], color=INK, lw=1)
    axes.scatter(points[:, 0], points[:, 1], s=46, marker="*", c=INK, zorder=3)
    for index, point in enumerate(points):
        if index % 2 == 0:
            axes.annotate(
                str(index + 1),
                point,
                (5, 5),
                textcoords="offset points",
                fontsize=NORMAL,
                color=INK,
                path_effects=_HALO,
            )
    tidy(axes, "", "first latent dimension", "second latent dimension")
    axes.grid(color=FAINT, lw=0.4)
    if classes and len(classes) <= _MAX_CLASSES:
        _add_legend(figure, classes)
    return figure
