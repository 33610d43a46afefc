"""Optuna's studies: opened, shared between processes, and seeded."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from training.errors import RunError
from training.randomness import derive_seed
from training.recipe.schema import Members, Recipe, override
from training.search.space import Search

_FIRST_TRIALS = 5  # that no pruner ends: a median of fewer says little
_WARM_UP_PART = 3  # a third of the epochs: until then a one-cycle's step size still rises
_SEARCH = "search"


def open_study(search: Search, recipe: Recipe, name: str, storage: str) -> optuna.Study:
    """Make a study, or join the one that is there.

    Args:
        search: What is searched, and what ends trials early.
        recipe: The search's, without any value that is tried.
        name: The study's name; processes that share it give the same.
        storage: Where Optuna keeps it: an SQLAlchemy URL.

    Raises:
        RunError: the study searches something else, or the storage cannot be used.
    """
    pruner = _make_pruner(search, getattr(recipe, search.network).epochs)
    with explain_storage(ImportError, ValueError):
        study = _join_study(name, storage, pruner)
        wanted = _describe(search, recipe)
        found = study.user_attrs.get(_SEARCH)
        study.set_user_attr(_SEARCH, found or wanted)
    if found not in (None, wanted):
        raise RunError(
            f"the study {name} was started with another search: "
            "--study gives this one a name of its own"
        )
    return study


def make_sampler(search: Search, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Return what draws the values of trial `number`.

    It is seeded by the trial, not by the process: those that share a study draw other values, and
    a study that was stopped goes on as it would have.
    """
    seed = derive_seed(seed, "trial", number) % 2**32
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    return optuna.samplers.TPESampler(seed=seed)


@contextlib.contextmanager
def explain_storage(*others: type[Exception]) -> Iterator[None]:
    """Turn what a storage raises, and `others`, into one line.

    Raises:
        RunError: the storage cannot be used.
    """
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, StorageInternalError, *others)
    try:
        yield
    except errors as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunError(f"--storage cannot be used: {reason}") from error


def _join_study(
    name: str, storage: str, pruner: optuna.pruners.BasePruner, attempts: int = 3
) -> optuna.Study:
    try:
        return optuna.create_study(
            storage=storage, study_name=name, pruner=pruner, load_if_exists=True
        )
    except (DBAPIError, StorageInternalError):
        # Another process may be making the same tables at this moment.
        if attempts == 1:
            raise
        time.sleep(1)
        return _join_study(name, storage, pruner, attempts - 1)


def _describe(search: Search, recipe: Recipe) -> Members:
    """Return what all who work on a study must agree about; a folder's place may differ."""
    members = recipe.model_dump(mode="json")
    dataset = Path(recipe.data.dataset).name
    space = search.model_dump(mode="json", include={"network", "space", "folds"})
    return {**space, "recipe": override(members, [("data.dataset", dataset)])}


def _make_pruner(search: Search, epochs: int) -> optuna.pruners.BasePruner:
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(_FIRST_TRIALS, epochs // _WARM_UP_PART)
    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=epochs)
    return optuna.pruners.NopPruner()
