"""Hyper-parameter search: an Optuna study over a recipe (Akiba et al., Optuna, 2019).

Only training and validation images are read. Several processes and machines can share a study, and
an interrupted study can be resumed.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import optuna
import torch
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial
from tqdm import tqdm

from training.errors import TrainingError
from training.fitting.network_set import fit_network
from training.fitting.tasks import FitContext
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe
from training.search.folds import Fold, read_folds
from training.search.plots import draw_plots
from training.search.results import DONE, find_best, list_done, write_results
from training.search.space import Choices, Dimension, Search
from training.search.studies import explain_storage, make_sampler, open_study

_AUTOENCODER = "autoencoder"


@dataclass(frozen=True, slots=True)
class SearchJob:
    """The settings of one process of a study."""

    search: Search
    study: str
    """The study's name; processes that share a study use the same."""
    folder: Path
    """Folder of the results, and of running trials."""
    storage: str
    """SQLAlchemy URL of Optuna's storage."""
    data_root: Path
    device: torch.device
    keep: bool = False
    """Whether to keep the checkpoints of completed trials."""


def run_search(job: SearchJob, report_progress: Callable[[str], None]) -> FrozenTrial:
    """Run trials until the study has the requested number, and return the best one.

    Results are written after each trial.

    Args:
        job: The settings.
        report_progress: Receives one line per message.

    Raises:
        DataError: the images cannot be used.
        RunError: the study has another search, or its storage cannot be used.
        TrainingError: no trial completed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = parse_recipe(job.search.fill({}))
    job.folder.mkdir(parents=True, exist_ok=True)
    study = open_study(job.search, recipe, job.study, job.storage)
    folds = read_folds(recipe, job.search.folds, job.data_root, job.folder, report_progress)
    if _shares_encoder(job.search):
        _fit_encoders(job, recipe, folds)
    with explain_storage():
        try:
            _optimize(study, _Objective(job, recipe.seed, folds))
        finally:
            write_results(study, job.search, job.folder)
            draw_plots(study, job.search.network, job.folder)
        return _choose_best(study)


@dataclass(frozen=True, slots=True)
class _Objective:
    """The function that Optuna minimises."""

    job: SearchJob
    seed: int
    folds: tuple[Fold, ...]

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the lowest validation loss, averaged over the folds.

        Raises:
            optuna.TrialPruned: the trial is pruned, or its training fails.
        """
        search = self.job.search
        trial.study.sampler = make_sampler(search, self.seed, trial.number)
        for key, dimension in search.space.items():
            _suggest(trial, key, dimension)
        folder = self.job.folder / "trials" / str(trial.number)
        with _clean_up(folder, keep=self.job.keep):
            try:
                recipe = parse_recipe(search.fill(search.read(trial.params)))
                return fmean(self._fit(i, recipe, folder, trial) for i in range(len(self.folds)))
            except TrainingError as error:
                trial.set_user_attr("error", str(error))
                raise optuna.TrialPruned(str(error)) from error

    def _fit(self, index: int, recipe: Recipe, folder: Path, trial: optuna.Trial) -> float:
        """Return the lowest validation loss of one fold. Only the first fold can prune a trial."""
        losses = []

        def on_epoch(epoch: int, loss: float) -> None:
            losses.append(loss)
            if index == 0:
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        fold_folder = folder / str(index)
        if _shares_encoder(self.job.search):
            encoder = _encoder_folder(self.job.folder, index)
            shutil.copytree(encoder / _AUTOENCODER, fold_folder / _AUTOENCODER)
        training, validation = self.folds[index].move_to(self.job.device)
        device = self.job.device
        context = FitContext(recipe, fold_folder, device, training, validation, on_epoch)
        fit_network(self.job.search.network, context)
        return min(losses)


def _suggest(trial: optuna.Trial, key: str, dimension: Dimension) -> None:
    if isinstance(dimension, Choices):
        trial.suggest_categorical(key, list(dimension.labels))
    elif dimension.is_integer:
        trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
    else:
        trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)


def _optimize(study: optuna.Study, objective: _Objective) -> None:
    total = objective.job.search.trials
    with tqdm(total=total, desc=study.study_name, unit="trial") as bar:

        def update(study: optuna.Study, _trial: FrozenTrial) -> None:
            bar.update(min(len(list_done(study)), total) - bar.n)
            write_results(study, objective.job.search, objective.job.folder)

        bar.update(min(len(list_done(study)), total))
        if bar.n < total:
            study.optimize(objective, callbacks=[MaxTrialsCallback(total, DONE), update])


def _choose_best(study: optuna.Study) -> FrozenTrial:
    best = find_best(study)
    if best is None:
        reason = list_done(study)[-1].user_attrs.get("error", "pruned")
        raise TrainingError(f"{study.study_name}: no trial completed; reason of the last: {reason}")
    return best


def _shares_encoder(search: Search) -> bool:
    """Return whether all trials train a classifier on the latents of one encoder."""
    sections = {key.partition(".")[0] for key in search.space}
    return search.network == "classifier" and _AUTOENCODER not in sections


def _fit_encoders(job: SearchJob, recipe: Recipe, folds: tuple[Fold, ...]) -> None:
    """Train the encoder that all trials share, once per fold."""
    for index, fold in enumerate(folds):
        folder = _encoder_folder(job.folder, index)
        context = FitContext(recipe, folder, job.device, *fold.move_to(job.device))
        fit_network(_AUTOENCODER, context)


def _encoder_folder(folder: Path, index: int) -> Path:
    return folder / "encoder" / str(index)


@contextlib.contextmanager
def _clean_up(folder: Path, *, keep: bool) -> Iterator[None]:
    """Remove a trial's folder on exit, except if `keep` is set and the trial completed."""
    completed = False
    try:
        yield
        completed = True
    finally:
        if not (keep and completed):
            shutil.rmtree(folder, ignore_errors=True)
