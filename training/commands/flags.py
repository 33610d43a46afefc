"""The flags of the commands, and what they change in a recipe."""

import argparse
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.data.datasets import list_datasets
from training.errors import RecipeError
from training.fitting.run_folders import RUN_FILE, Run, read_run
from training.recipe.schema import (
    FITTED,
    Members,
    Recipe,
    list_recipes,
    override,
    parse_assignment,
    parse_recipe,
    read_recipe,
)
from training.search.space import Search, list_searches, parse_search, read_search

_CODED = ("autoencoder", "denoiser", "vae")
_DEFAULT_RECIPE = "default"


def make_train_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd train`."""
    parser = argparse.ArgumentParser(
        "latentd train", description="Train a bundle's networks and publish them."
    )
    add = parser.add_argument
    add("recipe", nargs="?", help=f"one of {', '.join(list_recipes())}, or a .toml file")
    add(
        "--dataset",
        metavar="NAME|FOLDER",
        help=f"one of {', '.join(list_datasets())}, or a folder with a sub-folder for each class",
    )
    add("--name", help="the bundle's name (default: the recipe's, or the folder's)")
    add("--epochs", type=int, metavar="N", help="epochs of every network")
    add("--latent-size", type=int, metavar="N", help="numbers in a code, for every network")
    add("--image-size", type=_parse_size, metavar="HxW", help="pixels, for a folder's images")
    add("--channels", type=int, choices=(1, 3), help="1 grey or 3 colour, for a folder's images")
    add("--seed", type=int, metavar="N", help="decides every random choice")
    _add_assignments(parser)
    add("--fresh", action="store_true", help="start over, whatever an earlier run has left")
    add("--no-publish", action="store_false", dest="publish", help="stop after measuring")
    add_data_root(parser, os.environ.get("LATENTD_DATA", "data"))
    add_places(parser)
    _add_store(parser)
    return parser


def make_tune_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd tune`."""
    parser = argparse.ArgumentParser(
        "latentd tune", description="Search for the best values of a recipe's keys."
    )
    add = parser.add_argument
    add("search", help=f"one of {', '.join(list_searches())}, or a .toml file")
    add("--trials", type=int, metavar="N", help="trials that the study shall have in the end")
    add("--sampler", choices=("tpe", "random"), help="what draws the values")
    add("--pruner", choices=("median", "hyperband", "none"), help="what ends hopeless trials")
    add("--folds", type=int, metavar="K", help="cross-validation; 1: the validation split")
    add("--study", metavar="NAME", help="the study's name (default: the search's)")
    add("--storage", metavar="URL", help="where Optuna keeps the study (default: its folder)")
    add("--keep", action="store_true", help="keep the checkpoints of finished trials")
    _add_assignments(parser)
    add_data_root(parser, os.environ.get("LATENTD_DATA", "data"))
    add_places(parser)
    return parser


def make_evaluate_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd evaluate`."""
    parser = argparse.ArgumentParser(
        "latentd evaluate", description="Measure a finished run on its test images again."
    )
    parser.add_argument("run", help="a run's name, or its folder")
    add_data_root(parser, os.environ.get("LATENTD_DATA"))
    add_places(parser)
    return parser


def make_export_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd export`."""
    parser = argparse.ArgumentParser(
        "latentd export", description="Export a finished run again and publish it."
    )
    parser.add_argument("run", help="a run's name, or its folder")
    add_data_root(parser, os.environ.get("LATENTD_DATA"))
    add_places(parser)
    _add_store(parser)
    return parser


def make_report_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd report`."""
    parser = argparse.ArgumentParser(
        "latentd report", description="Write a finished run's figures, and a page with them all."
    )
    parser.add_argument("run", help="a run's name, or its folder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to (default: report/ in the run's folder)"
    )
    add_data_root(parser, os.environ.get("LATENTD_DATA"))
    add_places(parser)
    return parser


def settle_recipe(flags: argparse.Namespace) -> Recipe:
    """Return the recipe that the flags of `latentd train` name, with their changes.

    Raises:
        RecipeError: there is no such recipe, or a key or value is wrong.
    """
    members = read_recipe(_choose_recipe(flags))
    recipe_changes = _list_changes(flags, members)
    members = override(members, recipe_changes)
    dataset = members.get("data", {}).get("dataset")
    if isinstance(dataset, str) and dataset not in list_datasets():
        # The run folder remembers it, and may be read from another working folder.
        members = override(members, [("data.dataset", str(Path(dataset).resolve()))])
    if "name" not in members and isinstance(dataset, str):
        members["name"] = _name_after(Path(dataset).resolve().name)
    return parse_recipe(members)


def settle_search(flags: argparse.Namespace) -> Search:
    """Return the search that the flags of `latentd tune` name, with their changes.

    Raises:
        RecipeError: there is no such search, or a key or value is wrong.
    """
    given = [(name, getattr(flags, name)) for name in ("trials", "sampler", "pruner", "folds")]
    changes = [(name, value) for name, value in given if value is not None]
    for text in flags.assignments:
        key, value = parse_assignment(text)
        changes.append((f"recipe.{key}", value))
    return parse_search(override(read_search(flags.search), changes))


def name_study(flags: argparse.Namespace) -> str:
    """Return the study's name, which is a folder's name too.

    Raises:
        RecipeError: it can be none.
    """
    name = str(flags.study or Path(flags.search).stem)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise RecipeError(f"--study {name!r}: up to 64 letters, digits, '.', '_' and '-'")
    return name


def describe_command(flags: argparse.Namespace) -> str:
    """Return the `latentd train` command line that makes the same bundle.

    Whatever names a place of this machine is left out, or cut to its last part.
    """
    words = ["latentd", "train", *([Path(flags.recipe).name] if flags.recipe else [])]
    if flags.dataset:
        words += ["--dataset", Path(flags.dataset).name]
    if flags.image_size:
        words += ["--image-size", "x".join(str(size) for size in flags.image_size)]
    for name in ("name", "epochs", "latent_size", "channels", "seed"):
        if (value := getattr(flags, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    for assignment in flags.assignments:
        key, _, value = assignment.partition("=")
        words += ["--set", f"{key}={Path(value).name if '/' in value else value}"]
    return shlex.join(words)


def find_run(flags: argparse.Namespace) -> Run:
    """Return the run that `latentd evaluate` or `latentd export` names.

    Raises:
        RunError: there is no such run.
    """
    here = Path(flags.run)
    run = read_run(here if (here / RUN_FILE).exists() else flags.runs / flags.run)
    return replace(run, data_root=str(flags.data_root)) if flags.data_root else run


def _choose_recipe(flags: argparse.Namespace) -> str:
    if flags.recipe:
        return str(flags.recipe)
    if not flags.dataset:
        raise RecipeError("give a recipe, or --dataset with a name or a folder of images")
    is_packaged = flags.dataset in list_datasets() and flags.dataset in list_recipes()
    return str(flags.dataset) if is_packaged else _DEFAULT_RECIPE


def _list_changes(flags: argparse.Namespace, members: Members) -> list[tuple[str, Any]]:
    """Return the keys that flags set; `--set` comes last and so has the last word."""
    height, width = flags.image_size or (None, None)
    given = [
        ("name", flags.name),
        ("seed", flags.seed),
        ("data.dataset", flags.dataset),
        ("data.height", height),
        ("data.width", width),
        ("data.channels", flags.channels),
        *((f"{name}.epochs", flags.epochs) for name in FITTED if name in members),
        *((f"{name}.latent_size", flags.latent_size) for name in _CODED if name in members),
    ]
    changes = [(key, value) for key, value in given if value is not None]
    return changes + [parse_assignment(text) for text in flags.assignments]


def _name_after(folder: str) -> str:
    """Return a bundle name made of a folder's."""
    slug = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:64]
    if not slug:
        raise RecipeError(f"no bundle can be named after {folder!r}: give --name")
    return slug


def _parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 64x48, height first")
    return int(found[1]), int(found[2])


def _add_assignments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="assignments",
        help="change any other key of the recipe; may be repeated",
    )


def add_data_root(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add `--data-root`."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default,
        metavar="DIR",
        help="where torchvision's data sets lie or are downloaded to (env LATENTD_DATA)",
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add `--device` and `--runs`."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (default)")
    parser.add_argument(
        "--runs", type=Path, default="runs", metavar="DIR", help="run folders (default: runs)"
    )


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        type=Path,
        default=os.environ.get("LATENTD_MODELS_STORE", "models_store"),
        metavar="DIR",
        help="the models store to publish into (env LATENTD_MODELS_STORE)",
    )
