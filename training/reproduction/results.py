"""What each trial gave: trained or resumed, measured once, and remembered in its run folder."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from training.evaluation.metrics import Measures
from training.fitting.checkpoints import HISTORY_FILE, replace_file
from training.fitting.run_folders import Run, start_run
from training.pipeline import Prepared, complete_run, fit_run, measure_run
from training.recipe.schema import FITTED
from training.report.page import write_report
from training.reproduction.rows import Row, Study, Trial
from training.sampling.judging import Quality

OUTCOME_FILE = "outcome.json"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a reproduction reads and writes."""

    data_root: Path
    runs: Path
    device: torch.device
    tell: Callable[[str], None]
    """Takes a line for the person who waits."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run gave on the test images."""

    figures: dict[str, float]
    """By metric, and for judged samples by `source.NAME.FIGURE` (shares in percent)."""
    epochs: dict[str, int]
    """Epochs that each network was fitted for."""
    minutes: dict[str, float]
    """Minutes that each network's epochs took."""
    seed: int
    command: str
    images: int
    """Test images."""
    measured: str
    """The day, as YYYY-MM-DD."""


def list_trials(rows: Iterable[Row]) -> dict[Trial, bool]:
    """Return the trials of `rows`, each run once, in order, and which of them need a report.

    Those do of which a row shows pictures or judged samples; of the others only the networks'
    figures are wanted.
    """
    runs: dict[str, Trial] = {}
    drawn: set[str] = set()
    for row in rows:
        for part in (row, *row.part):
            for trial in part.trials().values():
                runs.setdefault(trial.run_name, trial)
                if part.needs_samples or (row.pictures and trial == row.same_net):
                    drawn.add(trial.run_name)
    return {trial: name in drawn for name, trial in runs.items()}


def list_studies(rows: Iterable[Row]) -> list[Study]:
    """Return the searches of `rows`, in order."""
    return [row.study for row in rows if row.study is not None]


def find_outcome(trial: Trial, places: Places) -> Outcome | None:
    """Return what a trial gave, or None if it has not been measured."""
    path = places.runs / trial.run_name / OUTCOME_FILE
    return Outcome(**json.loads(path.read_text())) if path.exists() else None


def reproduce_trial(trial: Trial, places: Places, *, drawn: bool) -> Outcome:
    """Train and measure what is not there yet; a killed one goes on where it was.

    Args:
        trial: What to train.
        places: Where to read and write.
        drawn: Whether its samples are judged and its report is written, too.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd train`.
    """
    recipe = trial.settle()
    folder = places.runs / recipe.name
    run = Run(folder, recipe, trial.command, str(places.data_root))
    run = start_run(run, fresh=False)
    found = find_outcome(trial, places)
    if found is not None:
        return found
    prepared = fit_run(run, places.device, places.tell)
    if drawn:
        trained = complete_run(prepared)
        write_report(trained, folder / "report")
        outcome = _describe(prepared, trained.measures, trained.quality)
    else:
        outcome = _describe(prepared, measure_run(prepared), {})
    text = json.dumps(asdict(outcome), indent=1) + "\n"
    replace_file(folder / OUTCOME_FILE, lambda beside: beside.write_text(text))
    return outcome


def locate_study(study: Study, runs: Path) -> Path:
    """Return the folder of a row's search."""
    return runs / "tune" / f"{study.search}-{study.trials}x{study.epochs}"


def reproduce_study(study: Study, places: Places) -> None:
    """Work on a search until it has its trials.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd tune`.
    """
    from training.search.tune import Task, run_search  # noqa: PLC0415 - optuna, for studies only

    folder = locate_study(study, places.runs)
    storage = f"sqlite:///{folder / 'study.db'}"
    task = Task(study.settle(), folder.name, folder, storage, places.data_root, places.device)
    run_search(task, places.tell)


def _describe(prepared: Prepared, measures: Measures, quality: Mapping[str, Quality]) -> Outcome:
    folder = prepared.run.folder
    figures = {name: metric.value for name, metric in measures.metrics.items()}
    for source, found in quality.items():
        figures |= {f"source.{source}.{name}": metric.value for name, metric in found.items()}
    histories = {
        name: json.loads((folder / name / HISTORY_FILE).read_text())["epochs"]
        for name in FITTED
        if (folder / name / HISTORY_FILE).exists()
    }
    seconds = {
        name: sum(epoch["seconds"] for epoch in history) for name, history in histories.items()
    }
    return Outcome(
        figures=figures,
        epochs={name: len(history) for name, history in histories.items()},
        minutes={name: round(spent / 60, 1) for name, spent in seconds.items()},
        seed=prepared.recipe.seed,
        command=prepared.run.command,
        images=len(prepared.splits.test),
        measured=datetime.now(UTC).date().isoformat(),
    )
