"""What a search leaves in its folder: the best recipe and a list of its trials."""

import json
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from optuna.trial import FrozenTrial, TrialState

from training.fitting.checkpoints import replace_file
from training.search.space import Search

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""How a trial ends that counts; one that was interrupted does not."""


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
        head = (
            f"# Trial {best.number} of {study.study_name}: validation loss {best.values[0]:.6g}\n"
        )
        recipe = search.fill(search.read(best.params))
        _write(folder / "best.toml", head + tomli_w.dumps(recipe))


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
