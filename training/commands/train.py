"""`latentd train`: train the networks of a recipe and publish them as a bundle."""

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

from training.commands.console import print_bundle, print_metrics, run_command
from training.commands.flags import add_assignments, add_folders, add_store, make_parser
from training.data.datasets import list_datasets
from training.errors import RecipeError
from training.fitting.examples import choose_device
from training.fitting.run_folders import Run
from training.pipeline import train_run
from training.publishing.bundle import publish_bundle
from training.recipe.parsing import (
    Members,
    list_recipes,
    override,
    parse_assignment,
    parse_recipe,
    read_recipe,
)
from training.recipe.schema import NETWORKS, Recipe

_HAVE_LATENTS = ("autoencoder", "denoiser", "vae")
_DEFAULT_RECIPE = "default"


def train(arguments: list[str]) -> int:
    """Train all networks of a recipe, and publish the bundle's next version."""
    return run_command(lambda: _train(make_train_parser().parse_args(arguments)))


def make_train_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd train`."""
    parser = make_parser("train", "Train the networks of a recipe and publish them as a bundle.")
    add = parser.add_argument
    add("recipe", nargs="?", help=f"one of {', '.join(list_recipes())}, or a .toml file")
    add(
        "--dataset",
        metavar="NAME|FOLDER",
        help=f"one of {', '.join(list_datasets())}, or a folder with a sub-folder per class",
    )
    add("--name", help="the bundle's name (default: from the recipe or the folder)")
    add("--epochs", type=int, metavar="N", help="epochs of every network")
    add("--latent-size", type=int, metavar="N", help="latent dimensions of every network")
    add("--image-size", type=_parse_size, metavar="HxW", help="pixels, for a folder's images")
    add("--channels", type=int, choices=(1, 3), help="1 grey or 3 colour, for a folder's images")
    add("--seed", type=int, metavar="N", help="seed of all random choices")
    add_assignments(parser)
    add("--fresh", action="store_true", help="delete an earlier run with the same name")
    add("--no-publish", action="store_false", dest="publish", help="train and evaluate only")
    add_folders(parser)
    add_store(parser)
    return parser


def resolve_recipe(flags: argparse.Namespace) -> Recipe:
    """Return the recipe that the flags of `latentd train` select and override.

    Raises:
        RecipeError: the recipe does not exist, or a key or value is invalid.
    """
    members = read_recipe(_choose_recipe(flags))
    members = override(members, _list_overrides(flags, members))
    dataset = members.get("data", {}).get("dataset")
    if isinstance(dataset, str) and dataset not in list_datasets():
        # Absolute, because later commands may use the run from another working folder.
        members = override(members, [("data.dataset", str(Path(dataset).resolve()))])
    if "name" not in members and isinstance(dataset, str):
        members["name"] = _make_name(Path(dataset).resolve().name)
    return parse_recipe(members)


def describe_command(flags: argparse.Namespace) -> str:
    """Return a `latentd train` command line for the bundle's provenance.

    Flags for folders of this machine are omitted, and paths are reduced to their last part.
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


def _train(flags: argparse.Namespace) -> None:
    recipe, device = resolve_recipe(flags), choose_device(flags.device)
    run = Run(flags.runs / recipe.name, recipe, describe_command(flags), str(flags.data_root))
    print(f"training {recipe.name} on {device}; run folder: {run.folder}")
    trained = train_run(run, device, print, fresh=flags.fresh)
    print_metrics(trained.evaluation.metrics)
    if flags.publish:
        print_bundle(publish_bundle(trained, flags.store), flags.store)
    else:
        print(f"not published; `latentd export {run.folder}` publishes the run")


def _choose_recipe(flags: argparse.Namespace) -> str:
    if flags.recipe:
        return str(flags.recipe)
    if not flags.dataset:
        raise RecipeError("Expected a recipe, or --dataset with a name or a folder of images")
    is_packaged = flags.dataset in list_datasets() and flags.dataset in list_recipes()
    return str(flags.dataset) if is_packaged else _DEFAULT_RECIPE


def _list_overrides(flags: argparse.Namespace, members: Members) -> list[tuple[str, Any]]:
    """Return the keys that the flags set. `--set` is last and takes precedence."""
    height, width = flags.image_size or (None, None)
    assignments = [
        ("name", flags.name),
        ("seed", flags.seed),
        ("data.dataset", flags.dataset),
        ("data.height", height),
        ("data.width", width),
        ("data.channels", flags.channels),
        *((f"{name}.epochs", flags.epochs) for name in NETWORKS if name in members),
        *((f"{name}.latent_size", flags.latent_size) for name in _HAVE_LATENTS if name in members),
    ]
    overrides = [(key, value) for key, value in assignments if value is not None]
    return overrides + [parse_assignment(text) for text in flags.assignments]


def _make_name(folder: str) -> str:
    """Return a bundle name derived from a folder name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:64]
    if not name:
        raise RecipeError(f"Cannot derive a bundle name from {folder!r}; set --name")
    return name


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 64x48, got {text!r}")
    return int(match[1]), int(match[2])
