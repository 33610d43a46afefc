"""`latentd tune`: search for the best hyper-parameters of a recipe."""

import argparse
import re
from pathlib import Path

from training.commands.console import run_command
from training.commands.flags import add_assignments, add_folders, make_parser
from training.errors import RecipeError
from training.fitting.examples import choose_device
from training.recipe.parsing import override, parse_assignment
from training.search.space import Search, list_searches, parse_search, read_search
from training.search.tune import SearchJob, run_search


def tune(arguments: list[str]) -> int:
    """Search for the best values of a recipe's keys, on training and validation images."""
    return run_command(lambda: _tune(_make_parser().parse_args(arguments)))


def _tune(flags: argparse.Namespace) -> None:
    study, device = _name_study(flags), choose_device(flags.device)
    folder = flags.runs / "tune" / study
    storage = flags.storage or f"sqlite:///{folder / 'study.db'}"
    search = _resolve_search(flags)
    print(f"searching {search.network} on {device}; results: {folder}")
    job = SearchJob(search, study, folder, storage, flags.data_root, device, keep=flags.keep)
    best = run_search(job, print)
    print(f"\nbest: trial {best.number}, validation loss {best.values[0]:.6g}")
    for key, value in search.read(best.params).items():
        print(f"  {key} = {value}")
    print(f"train it with `latentd train {folder / 'best.toml'}`")


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser("tune", "Search for the best values of a recipe's keys.")
    add = parser.add_argument
    add("search", help=f"one of {', '.join(list_searches())}, or a .toml file")
    add("--trials", type=int, metavar="N", help="total number of trials of the study")
    add("--sampler", choices=("tpe", "random"), help="how values are drawn")
    add("--pruner", choices=("median", "hyperband", "none"), help="how bad trials are pruned")
    add("--folds", type=int, metavar="K", help="cross-validation; 1: the validation split")
    add("--study", metavar="NAME", help="the study's name (default: from the search)")
    add("--storage", metavar="URL", help="Optuna storage (default: SQLite in the study's folder)")
    add("--keep", action="store_true", help="keep the checkpoints of completed trials")
    add_assignments(parser)
    add_folders(parser)
    return parser


def _resolve_search(flags: argparse.Namespace) -> Search:
    """Return the search that the flags select and override.

    Raises:
        RecipeError: the search does not exist, or a key or value is invalid.
    """
    values = [(name, getattr(flags, name)) for name in ("trials", "sampler", "pruner", "folds")]
    overrides = [(name, value) for name, value in values if value is not None]
    for text in flags.assignments:
        key, value = parse_assignment(text)
        overrides.append((f"recipe.{key}", value))
    return parse_search(override(read_search(flags.search), overrides))


def _name_study(flags: argparse.Namespace) -> str:
    """Return the study's name, which is also the name of its folder.

    Raises:
        RecipeError: the name is invalid.
    """
    name = str(flags.study or Path(flags.search).stem)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise RecipeError(
            f"Invalid --study {name!r}: expected 1 to 64 letters, digits, '.', '_' and '-'"
        )
    return name
