"""`latentd report`: write the report of a finished run."""

import argparse
from pathlib import Path

from training.commands.console import run_command
from training.commands.flags import add_run, find_run, make_parser
from training.fitting.examples import choose_device
from training.pipeline import report_run


def report(arguments: list[str]) -> int:
    """Write the plots of a finished run, and a page that contains them."""
    parser = make_parser(
        "report", "Write the plots of a finished run, and a page with all of them."
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder (default: report/ in the run folder)"
    )
    add_run(parser)
    return run_command(lambda: _report(parser.parse_args(arguments)))


def _report(flags: argparse.Namespace) -> None:
    run, device = find_run(flags), choose_device(flags.device)
    page = report_run(run, flags.out or run.folder / "report", device, print)
    print(f"wrote {page} ({page.stat().st_size:,} bytes) and its plots")
