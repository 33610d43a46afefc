"""`latentd refit`: further sample sources, or new networks, for a published bundle."""

import argparse
import shlex

from service.artifact import Bundle, list_bundles, open_bundle
from training.commands.console import print_bundle, run_command
from training.commands.flags import add_assignments, add_folders, add_store, make_parser
from training.errors import RunError
from training.fitting.runs.run_folders import Run
from training.importing.refit import RETRAINABLE, refit_bundle
from training.importing.refit_detectors import refit_detectors
from training.recipe.parsing import (
    Members,
    override,
    parse_assignment,
    parse_recipe,
    read_recipe,
)


def refit(arguments: list[str]) -> int:
    """Fit the sources that a published bundle lacks, retrain networks, and publish a version."""
    return run_command(lambda: _refit(_make_parser().parse_args(arguments)))


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "refit",
        "Fit the sample sources that a published bundle lacks, such as flows, measure all sources "
        "and publish the next version. Networks stay as they are, unless --networks names them.",
    )
    parser.add_argument("name", help="the bundle's name")
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=RETRAINABLE,
        default=[],
        help="networks to train again, with their sections of --recipe",
    )
    parser.add_argument(
        "--recipe", help="packaged recipe or TOML file (default: the recipe called NAME)"
    )
    parser.add_argument(
        "--detectors",
        action="store_true",
        help="fit the detectors of anomalies only, and keep all sample sources as they are",
    )
    parser.add_argument("--dataset", metavar="FOLDER", help="the images, if they are a folder")
    add_assignments(parser)
    add_folders(parser)
    add_store(parser)
    return parser


def _refit(flags: argparse.Namespace) -> None:
    if isinstance(flags.store, str):
        raise RunError(f"Expected --store to be a folder, got {flags.store}")
    versions = list_bundles(flags.store).get(flags.name)
    if not versions:
        raise RunError(f"{flags.store} has no bundle {flags.name!r}")
    bundle = open_bundle(flags.store, flags.name, versions[0])
    assignments = [("name", flags.name)]
    assignments += [("data.dataset", flags.dataset)] if flags.dataset else []
    if flags.detectors and flags.networks:
        raise RunError("--detectors keeps the networks: run it after --networks")
    members = _choose_members(bundle, flags)
    members = override(members, [*assignments, *map(parse_assignment, flags.assignments)])
    sets = [word for text in flags.assignments for word in ("--set", text)]
    networks = ["--networks", *flags.networks] if flags.networks else []
    only = ["--detectors"] if flags.detectors else []
    command = shlex.join(["latentd", "refit", flags.name, *only, *networks, *sets])
    folder = flags.runs / (f"{flags.name}-detectors" if only else f"{flags.name}-refit")
    first = bundle.manifest.provenance.command.split("; ")[0]
    run = Run(folder, parse_recipe(members), f"{first}; {command}", str(flags.data_root))
    subject = "detectors" if only else "sources"
    print(f"fitting {subject} of {bundle.name}@{bundle.version}; run folder: {folder}")
    if flags.detectors:
        published = refit_detectors(bundle, run, flags.store, print)
    else:
        published = refit_bundle(bundle, run, flags.store, flags.networks, print)
    print_bundle(published, flags.store)


def _choose_members(bundle: Bundle, flags: argparse.Namespace) -> Members:
    """Return the bundle's recipe with the sections to train, and a flow if it has none.

    Raises:
        RecipeError: the recipe cannot be read.
        RunError: the recipe lacks a section to train.
    """
    members = bundle.manifest.provenance.recipe
    if flags.detectors:
        return members
    if not flags.networks and flags.recipe is None:
        return {"flow": {}, **members}
    source = flags.recipe or flags.name
    recipe = read_recipe(source)
    missing = [name for name in flags.networks if name not in recipe]
    if missing:
        raise RunError(
            f"Expected a section for each of --networks in the recipe {source}, "
            f"it lacks {', '.join(missing)}; choose another with --recipe"
        )
    sections = {name: recipe[name] for name in flags.networks}
    return {"flow": recipe.get("flow", {}), **members, **sections}
