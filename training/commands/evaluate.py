"""`latentd evaluate`: measure a finished run on its test images again."""

import argparse

from training.commands.console import print_metrics, run_command
from training.commands.flags import add_run, find_run, make_parser
from training.fitting.examples import choose_device
from training.pipeline import evaluate_run


def evaluate(arguments: list[str]) -> int:
    """Measure a finished run on its test images again."""
    parser = make_parser("evaluate", "Measure a finished run on its test images again.")
    add_run(parser)
    return run_command(lambda: _evaluate(parser.parse_args(arguments)))


def _evaluate(flags: argparse.Namespace) -> None:
    print_metrics(evaluate_run(find_run(flags), choose_device(flags.device), print))
