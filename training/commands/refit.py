"""`latentd refit`: fit further sample sources for a published bundle."""

import argparse
import shlex

from service.artifact import list_bundles, open_bundle
from training.commands.console import print_bundle, run_command
from training.commands.flags import add_assignments, add_folders, add_store, make_parser
from training.errors import RunError
from training.fitting.runs.run_folders import Run
from training.importing.refit import refit_bundle
from training.importing.refit_detectors import refit_detectors
from training.recipe.parsing import override, parse_assignment, parse_recipe


def refit(arguments: list[str]) -> int:
    """Fit the sources that a published bundle lacks, and publish its next version."""
    return run_command(lambda: _refit(_make_parser().parse_args(arguments)))


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "refit",
        "Fit the sample sources that a published bundle lacks, such as flows, measure all sources "
        "and publish the next version. The networks stay as they are.",
    )
    parser.add_argument("name", help="the bundle's name")
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
    added: dict[str, object] = {} if flags.detectors else {"flow": {}}
    members = {**added, **bundle.manifest.provenance.recipe}
    members = override(members, [*assignments, *map(parse_assignment, flags.assignments)])
    sets = [word for text in flags.assignments for word in ("--set", text)]
    only = ["--detectors"] if flags.detectors else []
    command = shlex.join(["latentd", "refit", flags.name, *only, *sets])
    folder = flags.runs / (f"{flags.name}-detectors" if only else f"{flags.name}-refit")
    first = bundle.manifest.provenance.command.split("; ")[0]
    run = Run(folder, parse_recipe(members), f"{first}; {command}", str(flags.data_root))
    subject = "detectors" if only else "sources"
    print(f"fitting {subject} of {bundle.name}@{bundle.version}; run folder: {folder}")
    refit_parts = refit_detectors if only else refit_bundle
    print_bundle(refit_parts(bundle, run, flags.store, print), flags.store)
