"""Results of targets: trained or resumed, measured once, and stored in the run folder."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from tqdm import tqdm

from training.evaluation.metrics import Evaluation
from training.files import replace_json
from training.fitting.runs.checkpoints import HISTORY_FILE
from training.fitting.runs.run_folders import Run, start_run
from training.pipeline import FittedRun, complete_run, fit_run
from training.recipe.schema import NETWORKS
from training.report.page import write_report
from training.reproduction.rows import Row, Study, Target
from training.sampling.reference_images import Quality
from training.search.tune import SearchJob, run_search

RESULT_FILE = "result.json"


@dataclass(frozen=True, slots=True)
class Folders:
    """Input and output folders, and the device."""

    data_root: Path
    runs: Path
    device: torch.device


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of a finished run on the test images."""

    metrics: dict[str, float]
    """By metric name; sample quality by `source.NAME.METRIC` (shares in percent)."""
    epochs: dict[str, int]
    """Epochs of each network."""
    minutes: dict[str, float]
    """Training time of each network."""
    seed: int
    command: str
    images: int
    """Number of test images."""
    measured: str
    """The date, as YYYY-MM-DD."""


def list_targets(rows: Iterable[Row]) -> dict[Target, bool]:
    """Return the targets of `rows`, one per run, in order, and whether each needs a report.

    A run needs a report if a row shows its plots or its sample quality.
    """
    runs: dict[str, Target] = {}
    reported: set[str] = set()
    for row in rows:
        for part in row.parts():
            for target in part.targets().values():
                runs.setdefault(target.run_name, target)
                if part.needs_samples or (row.plots and target == row.same_net):
                    reported.add(target.run_name)
    return {target: name in reported for name, target in runs.items()}


def find_result(target: Target, folders: Folders) -> Result | None:
    """Return the stored result of a target; None if it has not been measured."""
    path = folders.runs / target.run_name / RESULT_FILE
    return Result(**json.loads(path.read_text())) if path.exists() else None


def reproduce_target(target: Target, folders: Folders, *, with_report: bool) -> Result:
    """Train, measure and store a target, or return its stored result.

    Args:
        target: The recipe to train.
        folders: Input and output folders.
        with_report: Whether to measure sample quality and write the report.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd train`.
    """
    recipe = target.resolve()
    folder = folders.runs / recipe.name
    run = start_run(Run(folder, recipe, target.command, str(folders.data_root)), fresh=False)
    stored = find_result(target, folders)
    if stored is not None:
        return stored
    fitted = fit_run(run, folders.device, tqdm.write)
    if with_report:
        trained = complete_run(fitted)
        write_report(trained, folder / "report")
        result = _describe(fitted, trained.evaluation, trained.quality)
    else:
        result = _describe(fitted, fitted.evaluate(), {})
    replace_json(folder / RESULT_FILE, asdict(result))
    return result


def locate_study(study: Study, runs: Path) -> Path:
    """Return the folder of a row's search."""
    return runs / "tune" / f"{study.search}-{study.trials}x{study.epochs}"


def reproduce_study(study: Study, folders: Folders) -> None:
    """Run the missing trials of a search.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd tune`.
    """
    folder = locate_study(study, folders.runs)
    storage = f"sqlite:///{folder / 'study.db'}"
    search = study.resolve()
    job = SearchJob(search, folder.name, folder, storage, folders.data_root, folders.device)
    run_search(job, tqdm.write)


def _describe(fitted: FittedRun, evaluation: Evaluation, quality: Mapping[str, Quality]) -> Result:
    folder = fitted.run.folder
    metrics = {name: metric.value for name, metric in evaluation.metrics.items()}
    for source, values in quality.items():
        metrics |= {f"source.{source}.{name}": metric.value for name, metric in values.items()}
    histories = {
        name: json.loads((folder / name / HISTORY_FILE).read_text())["epochs"]
        for name in NETWORKS
        if (folder / name / HISTORY_FILE).exists()
    }
    return Result(
        metrics=metrics,
        epochs={name: len(history) for name, history in histories.items()},
        minutes={
            name: round(sum(epoch["seconds"] for epoch in history) / 60, 1)
            for name, history in histories.items()
        },
        seed=fitted.recipe.seed,
        command=fitted.run.command,
        images=len(fitted.splits.test),
        measured=datetime.now(UTC).date().isoformat(),
    )
