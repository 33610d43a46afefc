"""What `latentd reproduce` does, and its flags."""

import argparse
import functools
import os
from pathlib import Path

from tqdm import tqdm

from training.commands.flags import add_data_root, add_places
from training.fitting.loop import choose_device
from training.reproduction.page import describe_rows, write_page
from training.reproduction.plots import collect_pictures
from training.reproduction.results import (
    Places,
    find_outcome,
    list_studies,
    list_trials,
    reproduce_study,
    reproduce_trial,
)
from training.reproduction.rows import choose_rows, read_rows


def reproduce_rows(flags: argparse.Namespace) -> None:
    """Do what the flags of `latentd reproduce` ask for.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd train`.
    """
    chosen = choose_rows(read_rows(), flags.rows)
    places = Places(flags.data_root, flags.runs, choose_device(flags.device), tqdm.write)
    trials = {} if flags.table else list_trials(chosen)
    for number, (trial, drawn) in enumerate(trials.items(), 1):
        tqdm.write(f"run {number} of {len(trials)}: {trial.command}")
        reproduce_trial(trial, places, drawn=drawn)
    for study in [] if flags.table else list_studies(chosen):
        tqdm.write(f"search {study.search}: {study.trials} trials of {study.epochs} epochs")
        reproduce_study(study, places)
    rows = read_rows()  # those of earlier calls stand in the table too
    find = functools.partial(find_outcome, places=places)
    missing = collect_pictures(rows, flags.runs, flags.out, find)
    write_page(describe_rows(rows, find), flags.out)
    print(f"wrote {flags.out / 'reproduction.md'} and .json")
    if missing:
        print(f"pictures that are not drawn yet: {', '.join(missing)}")


def make_reproduce_parser() -> argparse.ArgumentParser:
    """Return the parser of `latentd reproduce`."""
    parser = argparse.ArgumentParser(
        "latentd reproduce",
        description="Train and measure the systems of the source reports; what is done is kept.",
    )
    known = ", ".join(row.id for row in read_rows())
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {known} (default: all)")
    parser.add_argument(
        "--table", action="store_true", help="train nothing: write what is there already"
    )
    parser.add_argument(
        "--out", type=Path, default="docs", metavar="DIR", help="where the table goes (docs)"
    )
    add_data_root(parser, os.environ.get("LATENTD_DATA", "data"))
    add_places(parser)
    return parser
