"""Plots of a search: optimisation history, key importance and parallel coordinates."""

import functools
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots

from training.files import replace_file

_MIN_TRIALS = 2
_LOSS = "validation loss"
_TICKS = 5
_INCHES_PER_AXIS = 1.7


def draw_plots(study: optuna.Study, network: str, folder: Path) -> None:
    """Write history.png, importance.png and parallel.png, if at least two trials completed.

    Args:
        study: The search.
        network: The section that is searched; its name is omitted from the keys.
        folder: The output folder.
    """
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(completed) < _MIN_TRIALS:
        return
    with mpl.rc_context({"backend": "agg"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # raised for few or equal trials
        for name, draw in _PLOTS.items():
            figure = draw(study, network)
            save = functools.partial(figure.savefig, format="png", dpi=110, bbox_inches="tight")
            replace_file(folder / f"{name}.png", save)
            plt.close(figure)


def _draw_history(study: optuna.Study, _network: str) -> Figure:
    axes = plots.plot_optimization_history(study, target_name=_LOSS)
    axes.set_title(f"{study.study_name}: loss of each trial, and the lowest so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(axes.get_legend_handles_labels()[0], ["trial", "lowest so far"])
    return _resize(axes, 9, 5)


def _draw_importance(study: optuna.Study, network: str) -> Figure:
    axes = plots.plot_param_importances(study, target_name=_LOSS)
    title = f"{study.study_name}: importance of each key for the loss (PED-ANOVA)"
    axes.set_title(title, loc="left")  # replaces Optuna's left title
    axes.set_xlabel("importance (sum: 1)")
    axes.set_ylabel("")
    labels = [label.get_text().removeprefix(f"{network}.") for label in axes.get_yticklabels()]
    axes.set_yticks(axes.get_yticks(), labels)
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    return _resize(axes, 9, 1.5 + 0.6 * len(axes.get_yticks()))


def _draw_parallel(study: optuna.Study, network: str) -> Figure:
    axes = plots.plot_parallel_coordinate(study, target_name=_LOSS)
    axes.set_title(f"{study.study_name}: one line per completed trial", pad=16)
    # Optuna truncates long names. Its axes are in this order.
    names = [_LOSS, *(key.removeprefix(f"{network}.") for key in sorted(study.best_params))]
    axes.set_xticks(axes.get_xticks(), names, rotation=20, ha="right")
    for lines in axes.collections:
        lines.set_cmap("viridis")
    figure = _resize(axes, 3 + _INCHES_PER_AXIS * len(names), 5)
    for other in figure.axes:
        other.grid(visible=False)
        if other is not axes and other.get_label() != "<colorbar>":
            _label_axis(other)
    return figure


def _label_axis(axes: Axes) -> None:
    """Label the axis of one key with several values on a white background."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        values = np.geomspace(low, high, _TICKS)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticks(values, [f"{value:.3g}" for value in values])
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1})


def _resize(axes: Axes, width: float, height: float) -> Figure:
    """Set the size in inches, and return the figure."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("The axes belong to no figure")
    figure.set_size_inches(width, height)
    return figure


_PLOTS = {"history": _draw_history, "importance": _draw_importance, "parallel": _draw_parallel}
