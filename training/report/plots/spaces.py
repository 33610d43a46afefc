"""Figures of latent space: scatters coloured by class, grids of decoded points, paths.

Letters: N codes or places.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from training.report.plots.mosaics import lay_out
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

Places = NDArray[np.float32]
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="white")]
_MOST_CLASSES = 25
_NAME_WIDTH, _NAME_HEIGHT = 0.17, 0.045  # of a panel


def draw_scatters(
    panels: Mapping[str, tuple[Places, NDArray[np.int64] | None]],
    classes: Sequence[str] | None,
    *,
    shared: bool = False,
) -> Figure:
    """Draw places coloured by class.

    Args:
        panels: For each title places (N, 2) and their class indices (N,), or None.
        classes: The classes' names; None where there are none.
        shared: Whether all panels have one scale; otherwise each has its own.
    """
    figure = new_figure(9, 4.9 if classes else 4.4)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=shared, sharey=shared)
    for axes, (title, (places, labels)) in zip(grid.flat, panels.items(), strict=True):
        scatter(axes, places, labels)
        tidy(axes, title)
        axes.set_xticks([])
        axes.set_yticks([])
        if labels is not None and classes and len(classes) <= _MOST_CLASSES:
            _name_clusters(axes, places, labels, classes)
    if classes and len(classes) <= _MOST_CLASSES:
        _add_legend(figure, classes)
    return figure


def scatter(axes: Axes, places: Places, labels: NDArray[np.int64] | None) -> None:
    """Draw places (N, 2), small and in the colour and marker of their class (N,)."""
    if labels is None:
        axes.scatter(places[:, 0], places[:, 1], s=5, c=colour_of(0), lw=0, alpha=0.6)
        return
    for label in np.unique(labels):
        own = places[labels == label]
        colour, marker = colour_of(label), marker_of(label)
        axes.scatter(own[:, 0], own[:, 1], s=6, c=colour, marker=marker, lw=0, alpha=0.75)


def _name_clusters(
    axes: Axes, places: Places, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    present = np.unique(labels)
    medians = np.stack([np.median(places[labels == label], axis=0) for label in present])
    extent = np.maximum(np.ptp(places, axis=0), 1e-9)
    for label, (x, y) in zip(present, _part(medians / extent) * extent, strict=True):
        text = axes.text(x, y, classes[label], ha="center", va="center", fontsize=SMALL, color=INK)
        text.set_path_effects(_HALO)


def _part(places: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move names that would lie on each other upwards; places are shares of the panel, (K, 2)."""
    parted = places.copy()
    order = parted[:, 1].argsort()
    for rank, index in enumerate(order):
        for other in order[:rank]:
            across, up = parted[index] - parted[other]
            if abs(across) < _NAME_WIDTH and abs(up) < _NAME_HEIGHT:
                parted[index, 1] = parted[other, 1] + _NAME_HEIGHT
    return parted


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
    """Draw decoded points of a grid over a plane.

    Args:
        images: (R, K, C, H, W); the first row is the highest.
        extent: The plane's left, right, bottom and top edge.
        x: What is to the right.
        y: What is upwards.
    """
    columns, _, height, width = images.shape[1:]
    pixels = lay_out(images, max(1, 1000 // (columns * width)), gap=2)
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
    places: Places,
    labels: NDArray[np.int64] | None,
    points: Places,
    classes: Sequence[str] | None,
) -> Figure:
    """Draw a path of numbered points (K, 2) over codes (N, 2) of a plane (report 002)."""
    figure = new_figure(6.6, 5)
    axes = figure.subplots()
    scatter(axes, places, labels)
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
    tidy(axes, "", "first number of the code", "second number of the code")
    axes.grid(color=FAINT, lw=0.4)
    if classes and len(classes) <= _MOST_CLASSES:
        _add_legend(figure, classes)
    return figure
