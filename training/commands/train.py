"""`latentd train`: train the networks of a recipe and publish them as a bundle."""

import argparse
import re
import shlex
import unicodedata
import zlib
from pathlib import Path, PurePath
from typing import Any

from training.commands.console import print_bundle, print_metrics, print_verdict, run_command
from training.commands.flags import add_assignments, add_folders, add_store, make_parser
from training.data.datasets import is_path, list_datasets, name_dataset
from training.errors import RecipeError
from training.fitting.examples import choose_device
from training.fitting.runs.run_folders import RUN_FILE, Run, read_run
from training.pipeline import preview_run, train_run
from training.publishing.bundle import find_published, publish_bundle
from training.recipe.parsing import (
    Members,
    list_recipes,
    override,
    parse_assignment,
    parse_recipe,
    read_recipe,
)
from training.recipe.schema import NETWORKS, Recipe
from training.report.tracking import check_tracker, track

_HAVE_LATENTS = ("autoencoder", "denoiser", "vae")
_DEFAULT_RECIPE = "default"
_MAX_NAME = 64


def train(arguments: list[str]) -> int:
    """Train all networks of a recipe, and publish the bundle's next version."""
    return run_command(lambda: _train(make_train_parser().parse_args(arguments)))


def make_train_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd train`."""
    parser = make_parser("train", "Train the networks of a recipe and publish them as a bundle.")
    add = parser.add_argument
    add(
        "recipe",
        nargs="?",
        metavar="FOLDER|RECIPE",
        help="your images: a folder, a .zip or .tar archive, a .csv or .jsonl table, .npz arrays "
        f"or hf:NAME; or a recipe: one of {', '.join(list_recipes())}, or a .toml file",
    )
    add(
        "--dataset",
        metavar="NAME|FOLDER",
        help=f"one of {', '.join(list_datasets())}, or your images, for a recipe",
    )
    add("--name", help="the bundle's name (default: from the recipe or the folder)")
    add("--epochs", type=int, metavar="N", help="epochs of every network")
    add("--latent-size", type=int, metavar="N", help="latent dimensions of every network")
    add("--minutes", type=float, metavar="M", help="time for training; a folder's default is 10")
    add("--image-size", type=_parse_size, metavar="HxW", help="pixels, for a folder's images")
    add("--channels", type=int, choices=(1, 3), help="1 grey or 3 colour, for a folder's images")
    add("--no-classes", action="store_true", help="ignore the classes of a folder's images")
    add(
        "--min-per-class",
        type=int,
        metavar="N",
        help="smallest accepted number of training images of a class (default: 5)",
    )
    add("--seed", type=int, metavar="N", help="seed of all random choices")
    add_assignments(parser)
    add("--from", dest="origin", metavar="NAME", help="run whose networks this training continues")
    add(
        "--track",
        metavar="TRACKER:PLACE",
        help="copy the losses, metrics, recipe and plots of the finished training to a tracker: "
        "tensorboard:FOLDER or mlflow:URI",
    )
    add("--dry-run", action="store_true", help="only read the images, and print the summary")
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
    recipe, dataset = _choose_recipe(flags)
    members = read_recipe(recipe)
    members = override(members, [*_list_overrides(flags, members, dataset)])
    dataset = members.get("data", {}).get("dataset")
    if isinstance(dataset, str) and is_path(dataset):
        # Absolute, because later commands may use the run from another working folder.
        members = override(members, [("data.dataset", str(Path(dataset).resolve()))])
    if "name" not in members and isinstance(dataset, str):
        members["name"] = _make_name(dataset)
    return parse_recipe(members)


def find_origin(flags: argparse.Namespace) -> Path | None:
    """Return the run folder that `--from` names.

    Raises:
        RecipeError: another flag contradicts it.
        RunError: the run does not exist.
    """
    if flags.origin is None:
        return None
    if flags.latent_size is not None or flags.fresh:
        raise RecipeError("--from keeps the latent sizes and the run: omit --latent-size, --fresh")
    path = Path(flags.origin)
    folder = path if (path / RUN_FILE).exists() else Path(flags.runs) / flags.origin
    return read_run(folder).folder


def describe_command(flags: argparse.Namespace) -> str:
    """Return a `latentd train` command line for the bundle's provenance.

    Flags for folders of this machine are omitted, and paths are reduced to their last part.
    """
    words = ["latentd", "train", *([PurePath(flags.recipe).name] if flags.recipe else [])]
    if flags.dataset:
        words += ["--dataset", PurePath(flags.dataset).name]
    if flags.image_size:
        words += ["--image-size", "x".join(str(size) for size in flags.image_size)]
    names = ("name", "epochs", "latent_size", "minutes", "channels", "min_per_class", "seed")
    for name in names:
        if (value := getattr(flags, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--from", PurePath(flags.origin).name] if flags.origin else []
    words += ["--no-classes"] if flags.no_classes else []
    for assignment in flags.assignments:
        key, _, value = assignment.partition("=")
        words += ["--set", f"{key}={Path(value).name if '/' in value else value}"]
    return shlex.join(words)


def _train(flags: argparse.Namespace) -> None:
    recipe, device = resolve_recipe(flags), choose_device(flags.device)
    if flags.dry_run:
        preview_run(recipe, flags.data_root, device, print)
        return
    tracker = check_tracker(flags.track) if flags.track else None
    run = Run(flags.runs / recipe.name, recipe, describe_command(flags), str(flags.data_root))
    print(f"training {recipe.name} on {device}; run folder: {run.folder}")
    origin = find_origin(flags)
    trained = train_run(run, device, print, fresh=flags.fresh, origin=origin)
    print_metrics(trained.evaluation.metrics)
    print_verdict(trained.describe_verdict())
    if tracker is not None:
        track(trained, tracker)
    earlier = None if flags.fresh else find_published(trained, flags.store)
    if earlier is not None:
        print(
            f"already published as {earlier.name}, version {earlier.version}: {earlier.folder}; "
            "--fresh trains again"
        )
    elif flags.publish:
        print_bundle(publish_bundle(trained, flags.store), flags.store)
    else:
        print(f"not published; `latentd export {run.folder}` publishes the run")


def _choose_recipe(flags: argparse.Namespace) -> tuple[str, str | None]:
    """Return the recipe, and the data set that the command line names for it."""
    recipe, dataset = flags.recipe, flags.dataset
    if recipe is None and dataset is None:
        raise RecipeError("Expected a folder of images, or a recipe")
    if recipe is not None and _is_dataset(recipe):
        if dataset is not None:
            raise RecipeError(f"Expected one data set, got {recipe} and --dataset {dataset}")
        return _DEFAULT_RECIPE, recipe
    if recipe is not None:
        if recipe not in list_recipes() and not recipe.endswith(".toml"):
            raise RecipeError(
                f"{recipe!r} is neither an existing folder nor a recipe: expected a folder of "
                f"images, one of {', '.join(list_recipes())}, or a .toml file"
            )
        return recipe, dataset
    is_packaged = dataset in list_datasets() and dataset in list_recipes()
    return (dataset if is_packaged else _DEFAULT_RECIPE), dataset


def _is_dataset(word: str) -> bool:
    """Return whether the first argument is a data set; a packaged recipe has precedence."""
    if word in list_recipes() or word.endswith(".toml"):
        return False
    return not is_path(word) or Path(word).exists() or "/" in word


def _list_overrides(
    flags: argparse.Namespace, members: Members, dataset: str | None
) -> list[tuple[str, Any]]:
    """Return the keys that the flags set. `--set` is last and takes precedence."""
    height, width = flags.image_size or (None, None)
    assignments = [
        ("name", flags.name),
        ("seed", flags.seed),
        ("minutes", flags.minutes),
        ("data.dataset", dataset),
        ("data.height", height),
        ("data.width", width),
        ("data.channels", flags.channels),
        ("data.classes", False if flags.no_classes else None),
        ("data.min_per_class", flags.min_per_class),
        *((f"{name}.epochs", flags.epochs) for name in NETWORKS if name in members),
        *((f"{name}.latent_size", flags.latent_size) for name in _HAVE_LATENTS if name in members),
    ]
    overrides = [(key, value) for key, value in assignments if value is not None]
    if flags.epochs is not None and flags.minutes is None:
        overrides.append(("minutes", None))
    if flags.latent_size is not None:
        names = [name for name in _HAVE_LATENTS if name in members]
        overrides += [(f"{name}.explained_variance", None) for name in names]
    return overrides + [parse_assignment(text) for text in flags.assignments]


def _make_name(dataset: str) -> str:
    """Return a bundle name derived from a data set's name, as `a-z`, `0-9` and `-`.

    A name with few such characters, as in Chinese, gets a number that depends on the whole name.
    """
    whole = name_dataset(dataset)
    plain = unicodedata.normalize("NFKD", whole).lower()
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:_MAX_NAME].strip("-")
    is_lossy = any(ord(letter) > 127 and letter.isalnum() for letter in letters)  # noqa: PLR2004 - ASCII
    if name and not is_lossy:
        return name
    number = zlib.crc32(whole.encode(errors="replace"))
    return f"{name[: _MAX_NAME - 16] or 'images'}-{number:08x}"


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 64x48, got {text!r}")
    return int(match[1]), int(match[2])
