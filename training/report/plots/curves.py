"""Plots of numbers: losses, robustness, the confusion matrix, histograms of latents."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from training.report.plots.style import (
    FAINT,
    INK,
    NORMAL,
    SMALL,
    add_legend,
    colour_of,
    new_figure,
    tidy,
)

_LOG_RATIO = 5.0  # a larger decrease of the loss gives a logarithmic scale
_MAX_LABELLED = 40
"""Classes of a confusion matrix that have labels."""
_MAX_HISTOGRAMS = 16


@dataclass(frozen=True, slots=True)
class History:
    """A network's losses, one value per epoch."""

    lines: Mapping[str, Sequence[float]]
    """The losses by label."""
    kept: int | None
    """The epoch, from 1, of the kept weights, which the last line marks; None: no mark."""


def draw_losses(histories: Mapping[str, History]) -> Figure:
    """Plot each network's losses against epochs."""
    columns = min(3, len(histories))
    rows = math.ceil(len(histories) / columns)
    figure = new_figure(9, 2.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, history) in zip(grid.flat, histories.items(), strict=False):
        _draw_history(axes, history)
        tidy(axes, name, "epoch", "loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        add_legend(axes)
    for axes in list(grid.flat)[len(histories) :]:
        axes.set_axis_off()
    return figure


def _draw_history(axes: Axes, history: History) -> None:
    losses: list[float] = []
    for index, (label, line) in enumerate(history.lines.items()):
        colour, style = colour_of(2 * index), ("-", "--")[index % 2]
        axes.plot(range(1, len(line) + 1), line, style, color=colour, lw=1.4, label=label)
        losses = [*losses, *line]
    if history.kept:
        label = f"kept: epoch {history.kept}"
        point = (history.kept, line[history.kept - 1])
        axes.plot(*point, "o", ms=5, mfc="white", mec=colour, label=label)
    if min(losses) > 0 and max(losses) > _LOG_RATIO * min(losses):
        axes.set_yscale("log")
        axes.tick_params(which="minor", labelsize=SMALL, colors=INK)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(FuncFormatter(_label_minor))


def _label_minor(value: float, _position: int) -> str:
    """Return a label for 2 and 5 times a power of ten only."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def draw_sweeps(
    sweeps: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]],
) -> Figure:
    """Plot errors against the strength of a corruption: a panel per sweep, a line per network.

    Args:
        sweeps: By x label: the x values, and each network's errors at these values.
    """
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, len(sweeps), squeeze=False).flat
    for axes, (label, (values, errors)) in zip(panels, sweeps.items(), strict=True):
        for index, (name, line) in enumerate(errors.items()):
            style = ("-", "--", "-.")[index % 3]
            colour = colour_of((0, 2, 4)[index % 3])
            axes.plot(values, line, style, color=colour, marker="o", ms=3, lw=1.5, label=name)
        tidy(axes, "", label, "MSE against the clean image")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=FAINT, lw=0.5)
        if all(isinstance(value, int) for value in values):
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        add_legend(axes)
    return figure


def draw_confusion(shares: NDArray[np.float64], classes: Sequence[str]) -> Figure:
    """Plot a confusion matrix of shares (K, K): a row for each true class, with a sum of 1.

    Of many classes the axes show indices, and the cells no numbers.
    """
    is_large = len(classes) > _MAX_LABELLED
    size = max(4.2, 0.44 * min(len(classes), _MAX_LABELLED) + 1.6)
    figure = new_figure(size + 1, size)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    tidy(axes, "", "predicted", "true")
    axes.spines[:].set_visible(False)
    if is_large:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(10, integer=True))
        return figure
    slant = 45 if max(len(name) for name in classes) > 2 else 0  # noqa: PLR2004 - shorter names fit horizontally
    axes.set_xticks(range(len(classes)), classes, rotation=slant, rotation_mode="anchor")
    axes.tick_params(axis="x", pad=8 if slant else 4)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right" if slant else "center")
    axes.set_yticks(range(len(classes)), classes)
    for row, column in np.argwhere(shares >= 0.005):  # noqa: PLR2004 - rounds to at least 1 %
        share = shares[row, column]
        colour = "white" if share > 0.5 else INK  # noqa: PLR2004 - a dark background
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=colour)
    return figure


def draw_histograms(real: NDArray[np.float32], drawn: NDArray[np.float32]) -> Figure:
    """Plot histograms of latents (N, L) and of draws of a source (M, L), per dimension."""
    shown = min(real.shape[1], _MAX_HISTOGRAMS)
    columns = min(4, shown)
    rows = math.ceil(shown / columns)
    figure = new_figure(9, 1.7 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= shown:
            axes.set_axis_off()
            continue
        both = np.concatenate([real[:, index], drawn[:, index]])
        low, high = (float(np.quantile(both, share)) for share in (0.001, 0.999))
        edges = np.linspace(low, max(high, low + 1e-6), 41)
        axes.hist(real[:, index], edges, density=True, color="#a9d0f2", label="latents")
        axes.hist(
            drawn[:, index], edges, density=True, histtype="step", color=colour_of(2), label="draws"
        )
        tidy(axes, "")
        axes.set_title(f"dimension {index + 1}", fontsize=NORMAL, color=INK, loc="left")
        axes.set_yticks([])
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, fontsize=SMALL, frameon=False, ncols=2, loc="outside upper right"
    )
    return figure


def draw_separation(
    rates: tuple[NDArray[np.float64], NDArray[np.float64]],
    precisions: tuple[NDArray[np.float64], NDArray[np.float64]],
    point: tuple[float, float, float],
) -> Figure:
    """Plot a ROC curve beside precision against recall.

    Args:
        rates: The false-alarm rates (N,) and the recalls (N,).
        precisions: The recalls (M,) and the precisions (M,).
        point: False-alarm rate, recall and precision of the threshold, which a dot marks.
    """
    figure = new_figure(8, 3.4)
    first, second = figure.subplots(1, 2)
    false_alarms, recall, precision = point
    for axes, (x, y), dot in (
        (first, rates, (false_alarms, recall)),
        (second, precisions, (recall, precision)),
    ):
        axes.plot(x, y, color=colour_of(0), lw=1.4)
        axes.plot(*dot, "o", color=colour_of(2))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
    tidy(first, "ROC", "false-alarm rate", "recall")
    tidy(second, "precision and recall", "recall", "precision")
    return figure
