"""Output files of a search: the best recipe and the list of trials."""

from pathlib import Path
from typing import Any

import optuna
import tomli_w
from optuna.trial import FrozenTrial, TrialState

from training.files import replace_bytes, replace_json
from training.search.space import Search

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that count; interrupted trials do not."""


def list_done(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, in the order of their start."""
    return study.get_trials(deepcopy=False, states=DONE)


def find_best(study: optuna.Study) -> FrozenTrial | None:
    """Return the completed trial with the lowest loss; None if no trial completed."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(completed, key=lambda trial: trial.values[0], default=None)


def write_results(study: optuna.Study, search: Search, folder: Path) -> None:
    """Write trials.json, and best.toml if a trial completed; each atomically.

    trials.json is a list of objects: `number`, `state`, `loss` (mean over the folds; null if the
    trial was pruned), `values` by key, `losses` (validation loss of the first fold after each
    epoch), `seconds`, and `error` (null unless the training failed).
    """
    trials = [_describe(trial, search) for trial in study.get_trials(deepcopy=False)]
    replace_json(folder / "trials.json", trials)
    best = find_best(study)
    if best is not None:
        head = (
            f"# Trial {best.number} of {study.study_name}: validation loss {best.values[0]:.6g}\n"
        )
        recipe = search.fill(search.read(best.params))
        replace_bytes(folder / "best.toml", (head + tomli_w.dumps(recipe)).encode())


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
