"""`latentd export`: publish a finished run as the next version of its bundle."""

import argparse

from training.commands.console import print_bundle, print_metrics, run_command
from training.commands.flags import add_run, add_store, find_run, make_parser
from training.fitting.examples import choose_device
from training.pipeline import export_run


def export(arguments: list[str]) -> int:
    """Publish a finished run as the next version of its bundle."""
    parser = make_parser("export", "Publish a finished run as the next version of its bundle.")
    add_run(parser)
    add_store(parser)
    return run_command(lambda: _export(parser.parse_args(arguments)))


def _export(flags: argparse.Namespace) -> None:
    run, device = find_run(flags), choose_device(flags.device)
    trained, bundle = export_run(run, flags.store, device, print)
    print_metrics(trained.evaluation.metrics)
    print_bundle(bundle, flags.store)
