"""What a search leaves: the best recipe, its trials, and three plots."""

import json
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
import tomli_w
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from training.checkpoints import replace_file
from training.search_space import Search

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""How a trial ends that counts; one that was interrupted does not."""

_LEAST_FOR_PLOTS = 2
_LOSS = "validation loss"


def list_done(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, in the order in which they were started."""
    return study.get_trials(deepcopy=False, states=DONE)


def find_best(study: optuna.Study) -> FrozenTrial | None:
    """Return the trial with the least loss; None if none has come to its end."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(finished, key=lambda trial: trial.values[0], default=None)


def write_results(study: optuna.Study, search: Search, folder: Path) -> None:
    """Write trials.json, and best.toml if a trial came to its end; each in one step.

    trials.json is a list of objects: `number`, `state`, `loss` (the mean over the folds; null if
    the trial was cut short), `values` by key, `losses` (the first fold's validation loss after
    each epoch), `seconds`, and the `error` of a trial that could not be fitted.
    """
    trials = [_describe(trial, search) for trial in study.get_trials(deepcopy=False)]
    _write(folder / "trials.json", json.dumps(trials, indent=1) + "\n")
    best = find_best(study)
    if best is not None:
        head = f"# Trial {best.number} of {study.study_name}: {_LOSS} {best.values[0]:.6g}\n"
        recipe = search.fill(search.read(best.params))
        _write(folder / "best.toml", head + tomli_w.dumps(recipe))


def draw_plots(study: optuna.Study, folder: Path) -> None:
    """Write history.png, importance.png and parallel.png, if two trials came to their end."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < _LEAST_FOR_PLOTS:
        return
    with mpl.rc_context({"backend": "agg"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        history = plots.plot_optimization_history(study, target_name=_LOSS)
        _save(history, folder / "history.png")
        importance = plots.plot_param_importances(study, target_name=_LOSS)
        _save(importance, folder / "importance.png")
        parallel = plots.plot_parallel_coordinate(study, target_name=_LOSS)
        _save(parallel, folder / "parallel.png")


def _save(axes: Axes, path: Path) -> None:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise RuntimeError("axes without a figure")
    replace_file(path, lambda beside: figure.savefig(beside, format="png", dpi=120))
    plt.close(figure)


def _describe(trial: FrozenTrial, search: Search) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "loss": trial.value if trial.state == TrialState.COMPLETE else None,
        "values": search.read(trial.params),
        "losses": [loss for _, loss in sorted(trial.intermediate_values.items())],
        "seconds": None if trial.duration is None else trial.duration.total_seconds(),
        "error": trial.user_attrs.get("error"),
    }


def _write(path: Path, text: str) -> None:
    replace_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))
