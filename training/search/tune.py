"""The search for hyper-parameters: an Optuna study over a recipe (Akiba et al., Optuna, 2019).

Only training and validation images are looked at. Any number of processes and machines may work
on one study at once, and a study that was stopped goes on.
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
from training.fitting.network_set import Workshop, fit_network
from training.recipe.schema import Recipe, parse_recipe
from training.search.folds import Fold, read_folds
from training.search.plots import draw_plots
from training.search.results import DONE, find_best, list_done, write_results
from training.search.space import Choices, Dimension, Search
from training.search.studies import explain_storage, make_sampler, open_study

_AUTOENCODER = "autoencoder"


@dataclass(frozen=True, slots=True)
class Task:
    """One process's work on a study."""

    search: Search
    study: str
    """The study's name; processes that share it give the same."""
    folder: Path
    """Where the results go, and each trial while it runs."""
    storage: str
    """Where Optuna keeps the study: an SQLAlchemy URL."""
    data_root: Path
    device: torch.device
    keep: bool = False
    """Whether the checkpoints of trials that ran to the end stay."""


def run_search(task: Task, tell: Callable[[str], None]) -> FrozenTrial:
    """Work on a study until it has its trials, and return the best.

    What the study has so far is written after each trial.

    Args:
        task: What to do.
        tell: Takes a line for the person who waits.

    Raises:
        DataError: the images cannot be used.
        RunError: the study searches something else, or its storage cannot be used.
        TrainingError: no trial could be fitted.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = parse_recipe(task.search.fill({}))
    task.folder.mkdir(parents=True, exist_ok=True)
    study = open_study(task.search, recipe, task.study, task.storage)
    folds = read_folds(recipe, task.search.folds, task.data_root, task.folder, tell)
    if _shares_encoder(task.search):
        _fit_encoders(task, recipe, folds)
    with explain_storage():
        try:
            _optimize(study, _Objective(task, recipe.seed, folds))
        finally:
            write_results(study, task.search, task.folder)
            draw_plots(study, task.search.network, task.folder)
        return _choose_best(study)


@dataclass(frozen=True, slots=True)
class _Objective:
    """What Optuna makes small: a function from a trial to a loss."""

    task: Task
    seed: int
    folds: tuple[Fold, ...]

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the mean over the folds of the least validation loss.

        Raises:
            optuna.TrialPruned: it is hopeless, or cannot be fitted.
        """
        search = self.task.search
        trial.study.sampler = make_sampler(search, self.seed, trial.number)
        for key, dimension in search.space.items():
            _suggest(trial, key, dimension)
        folder = self.task.folder / "trials" / str(trial.number)
        with _clean_up(folder, keep=self.task.keep):
            try:
                recipe = parse_recipe(search.fill(search.read(trial.params)))
                return fmean(self._fit(i, recipe, folder, trial) for i in range(len(self.folds)))
            except TrainingError as error:
                trial.set_user_attr("error", str(error))
                raise optuna.TrialPruned(str(error)) from error

    def _fit(self, index: int, recipe: Recipe, folder: Path, trial: optuna.Trial) -> float:
        """Return the least validation loss of one fold; the first decides about pruning."""
        losses = []

        def report(epoch: int, loss: float) -> None:
            losses.append(loss)
            if index == 0:
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        place = folder / str(index)
        if _shares_encoder(self.task.search):
            encoder = _place_encoder(self.task.folder, index)
            shutil.copytree(encoder / _AUTOENCODER, place / _AUTOENCODER)
        training, validation = self.folds[index].put_on(self.task.device)
        shop = Workshop(recipe, place, self.task.device, training, validation, report)
        fit_network(self.task.search.network, shop)
        return min(losses)


def _suggest(trial: optuna.Trial, key: str, dimension: Dimension) -> None:
    if isinstance(dimension, Choices):
        trial.suggest_categorical(key, list(dimension.labels))
    elif dimension.is_whole:
        trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
    else:
        trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)


def _optimize(study: optuna.Study, objective: _Objective) -> None:
    wanted = objective.task.search.trials
    with tqdm(total=wanted, desc=study.study_name, unit="trial") as bar:

        def show(study: optuna.Study, _trial: FrozenTrial) -> None:
            bar.update(min(len(list_done(study)), wanted) - bar.n)
            write_results(study, objective.task.search, objective.task.folder)

        bar.update(min(len(list_done(study)), wanted))
        if bar.n < wanted:
            study.optimize(objective, callbacks=[MaxTrialsCallback(wanted, DONE), show])


def _choose_best(study: optuna.Study) -> FrozenTrial:
    best = find_best(study)
    if best is None:
        reason = list_done(study)[-1].user_attrs.get("error", "pruned")
        raise TrainingError(f"{study.study_name}: no trial came to its end; the last: {reason}")
    return best


def _shares_encoder(search: Search) -> bool:
    """Tell whether all trials fit a classifier to the codes of one encoder."""
    tried = {key.partition(".")[0] for key in search.space}
    return search.network == "classifier" and _AUTOENCODER not in tried


def _fit_encoders(task: Task, recipe: Recipe, folds: tuple[Fold, ...]) -> None:
    """Fit the encoder that all trials share, once for each fold."""
    for index, fold in enumerate(folds):
        place = _place_encoder(task.folder, index)
        shop = Workshop(recipe, place, task.device, *fold.put_on(task.device))
        fit_network(_AUTOENCODER, shop)


def _place_encoder(folder: Path, index: int) -> Path:
    return folder / "encoder" / str(index)


@contextlib.contextmanager
def _clean_up(folder: Path, *, keep: bool) -> Iterator[None]:
    """Remove a trial's folder, unless it shall be kept and the trial came to its end."""
    came_to_end = False
    try:
        yield
        came_to_end = True
    finally:
        if not (keep and came_to_end):
            shutil.rmtree(folder, ignore_errors=True)
