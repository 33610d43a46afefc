"""`latentd tables`: write the Markdown tables of a store's metrics."""

import argparse
from pathlib import Path

from training.commands.console import run_command
from training.commands.flags import add_store, make_parser
from training.report.tables import write_tables


def tables(arguments: list[str]) -> int:
    """Write the pages docs/bundles.md and docs/samplers.md from the manifests of a store."""
    parser = make_parser("tables", "Write the Markdown tables of a store's metrics.")
    add = parser.add_argument
    add_store(parser)
    add("--out", type=Path, default="docs/bundles.md", help="page of metrics (docs/bundles.md)")
    add("--samplers", type=Path, default="docs/samplers.md", help="page of sample quality")
    return run_command(lambda: _tables(parser.parse_args(arguments)))


def _tables(flags: argparse.Namespace) -> None:
    write_tables(flags.store, flags.out, flags.samplers)
    print(f"wrote {flags.out} and {flags.samplers}")
