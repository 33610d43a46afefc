"""Figures of numbers: losses, robustness, the confusion matrix, histograms of codes."""

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
    add_key,
    colour_of,
    new_figure,
    tidy,
)

_LOG_RATIO = 5.0  # losses that fall by more are drawn on a logarithmic scale
_MOST_HISTOGRAMS = 16


@dataclass(frozen=True, slots=True)
class History:
    """A network's losses, one an epoch."""

    lines: Mapping[str, Sequence[float]]
    """For each label the losses."""
    kept: int | None
    """The epoch, from 1, whose weights are kept, marked on the last line; None for no mark."""


def draw_losses(histories: Mapping[str, History]) -> Figure:
    """Draw each network's losses over its epochs."""
    columns = min(3, len(histories))
    rows = math.ceil(len(histories) / columns)
    figure = new_figure(9, 2.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, history) in zip(grid.flat, histories.items(), strict=False):
        _draw_history(axes, history)
        tidy(axes, name, "epoch", "loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        add_key(axes)
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
        place = (history.kept, line[history.kept - 1])
        axes.plot(*place, "o", ms=5, mfc="white", mec=colour, label=label)
    if min(losses) > 0 and max(losses) > _LOG_RATIO * min(losses):
        axes.set_yscale("log")
        axes.tick_params(which="minor", labelsize=SMALL, colors=INK)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(FuncFormatter(_label_some))


def _label_some(value: float, _position: int) -> str:
    """Label 2 and 5 between two powers of ten."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def draw_sweeps(
    sweeps: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]],
) -> Figure:
    """Draw errors over what was done to images, one panel a sweep with a line a network.

    Args:
        sweeps: For each x label its values, and for each network the error at each of them.
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
        add_key(axes)
    return figure


def draw_confusion(shares: NDArray[np.float64], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix of shares: (K, K), a row for each true class, whose sum is 1."""
    size = max(4.2, 0.44 * len(classes) + 1.6)
    figure = new_figure(size + 1, size)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    tidy(axes, "", "predicted", "true")
    axes.spines[:].set_visible(False)
    slant = 45 if max(len(name) for name in classes) > 2 else 0  # noqa: PLR2004 - fit side by side
    axes.set_xticks(range(len(classes)), classes, rotation=slant, rotation_mode="anchor")
    axes.tick_params(axis="x", pad=8 if slant else 4)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right" if slant else "center")
    axes.set_yticks(range(len(classes)), classes)
    for row, column in np.argwhere(shares >= 0.005):  # noqa: PLR2004 - what rounds to 1 %
        share = shares[row, column]
        colour = "white" if share > 0.5 else INK  # noqa: PLR2004 - half way to dark
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=colour)
    return figure


def draw_histograms(real: NDArray[np.float32], drawn: NDArray[np.float32]) -> Figure:
    """Draw how codes (N, L) and draws of a sampler (M, L) are spread, dimension by dimension."""
    shown = min(real.shape[1], _MOST_HISTOGRAMS)
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
        axes.hist(real[:, index], edges, density=True, color="#a9d0f2", label="codes")
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
