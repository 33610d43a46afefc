"""Optuna studies: creation, sharing between processes, and seeding."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from training.errors import RunError
from training.randomness import derive_seed32
from training.recipe.parsing import Members, override
from training.recipe.schema import Recipe
from training.search.space import Search

_UNPRUNED_TRIALS = 5  # a median of fewer is unreliable
_WARM_UP_PART = 3  # a third of the epochs, while the one-cycle step size still rises
_SEARCH = "search"


def open_study(search: Search, recipe: Recipe, name: str, storage: str) -> optuna.Study:
    """Create a study, or join an existing one.

    Args:
        search: The search.
        recipe: The search's recipe, without trial values.
        name: The study's name; processes that share a study use the same.
        storage: SQLAlchemy URL of Optuna's storage.

    Raises:
        RunError: the study has another search, or the storage cannot be used.
    """
    pruner = _make_pruner(search, getattr(recipe, search.network).epochs)
    with explain_storage(ImportError, ValueError):
        study = _join_study(name, storage, pruner)
        identity = _describe(search, recipe)
        stored = study.user_attrs.get(_SEARCH)
        study.set_user_attr(_SEARCH, stored or identity)
    if stored not in (None, identity):
        raise RunError(
            f"study {name} was started with another search; choose another name with --study"
        )
    return study


def make_sampler(search: Search, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of trial `number`.

    The trial determines its seed. Processes that share a study therefore draw different values, and
    a resumed study draws the same values as an uninterrupted one.
    """
    seed = derive_seed32(seed, "trial", number)
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    return optuna.samplers.TPESampler(seed=seed)


@contextlib.contextmanager
def explain_storage(*others: type[Exception]) -> Iterator[None]:
    """Convert storage exceptions, and `others`, into a RunError.

    Raises:
        RunError: the storage cannot be used.
    """
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, StorageInternalError, *others)
    try:
        yield
    except errors as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunError(f"Cannot use --storage: {reason}") from error


def _join_study(
    name: str, storage: str, pruner: optuna.pruners.BasePruner, attempts: int = 3
) -> optuna.Study:
    try:
        return optuna.create_study(
            storage=storage, study_name=name, pruner=pruner, load_if_exists=True
        )
    except (DBAPIError, StorageInternalError):
        # Another process may be creating the same tables.
        if attempts == 1:
            raise
        time.sleep(1)
        return _join_study(name, storage, pruner, attempts - 1)


def _describe(search: Search, recipe: Recipe) -> Members:
    """Return the settings that all processes of a study must share; a folder's path may differ."""
    members = recipe.model_dump(mode="json")
    dataset = Path(recipe.data.dataset).name
    space = search.model_dump(mode="json", include={"network", "space", "folds"})
    return {**space, "recipe": override(members, [("data.dataset", dataset)])}


def _make_pruner(search: Search, epochs: int) -> optuna.pruners.BasePruner:
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(_UNPRUNED_TRIALS, epochs // _WARM_UP_PART)
    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=epochs)
    return optuna.pruners.NopPruner()
