"""Flags that several commands share."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from service.artifact import Store
from service.artifact.remote.objects import ObjectStore
from service.errors import LatentdError
from training.fitting.runs.run_folders import RUN_FILE, Run, read_run


def make_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of `latentd COMMAND`, without arguments."""
    return argparse.ArgumentParser(f"latentd {command}", description=description)


def add_assignments(parser: argparse.ArgumentParser) -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="assignments",
        help="override any key of the recipe; repeatable",
    )


def add_folders(parser: argparse.ArgumentParser, data_root: str | None = "data") -> None:
    """Add `--data-root`, `--device` and `--runs`.

    Args:
        parser: The parser.
        data_root: The default data root, unless LATENTD_DATA is set; None: the run's own.
    """
    add = parser.add_argument
    add(
        "--data-root",
        type=Path,
        default=os.environ.get("LATENTD_DATA", data_root),
        metavar="DIR",
        help="folder of torchvision's data sets, which are downloaded if missing (LATENTD_DATA)",
    )
    add("--device", default="auto", help="cpu, cuda, mps or auto (default)")
    add("--runs", type=Path, default="runs", metavar="DIR", help="run folders (default: runs)")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument for a finished run, and `add_folders`."""
    parser.add_argument("run", help="name or folder of a finished run")
    add_folders(parser, data_root=None)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store",
        type=_parse_store,
        default=os.environ.get("LATENTD_MODELS_STORE", "models_store"),
        metavar="DIR|URL",
        help="models store: a folder, or a URL such as s3://bucket/prefix "
        "(default: models_store; LATENTD_MODELS_STORE)",
    )


def _parse_store(text: str) -> Store:
    """Return the folder or the URL; a URL that cannot be opened fails before the training."""
    if "://" not in text:
        return Path(text)
    try:
        ObjectStore(text).check()
    except LatentdError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def find_run(flags: argparse.Namespace) -> Run:
    """Return the run that the flags of `add_run` name.

    Raises:
        RunError: the run does not exist.
    """
    path = Path(flags.run)
    run = read_run(path if (path / RUN_FILE).exists() else flags.runs / flags.run)
    return replace(run, data_root=str(flags.data_root)) if flags.data_root else run
