"""`latentd reproduce`: train and measure the systems of the source reports."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from training.commands.console import run_command
from training.commands.flags import add_folders, make_parser
from training.errors import RunError
from training.fitting.examples import choose_device


def reproduce(arguments: list[str]) -> int:
    """Train and measure the systems of the source reports, and write the table of results."""
    parser = make_parser(
        "reproduce", "Train and measure the systems of the source reports; finished runs are kept."
    )
    add = parser.add_argument
    add("rows", nargs="*", metavar="ROW", help="rows such as A1 or D2 (default: all)")
    add("--table", action="store_true", help="train nothing; write the table of existing results")
    add("--out", type=Path, default="docs", metavar="DIR", help="folder of the table (docs)")
    add_folders(parser)
    return run_command(lambda: _reproduce(parser.parse_args(arguments)))


def _reproduce(flags: argparse.Namespace) -> None:
    if find_spec("training.reproduction") is None:
        raise RunError("`latentd reproduce` is not installed; run it in a checkout of the project")
    from training.reproduction.run import Folders, reproduce_rows  # noqa: PLC0415 - not in the wheel

    folders = Folders(flags.data_root, flags.runs, choose_device(flags.device))
    reproduce_rows(flags.rows, folders, flags.out, train=not flags.table)
