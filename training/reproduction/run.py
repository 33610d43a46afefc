"""The reproduction: train the selected rows, and write the table of all results."""

import functools
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from training.reproduction.page import describe_rows, write_page
from training.reproduction.plots import collect_plots
from training.reproduction.results import (
    Folders,
    find_result,
    list_targets,
    reproduce_study,
    reproduce_target,
)
from training.reproduction.rows import choose_rows, read_rows

__all__ = ["Folders", "reproduce_rows"]


def reproduce_rows(ids: Iterable[str], folders: Folders, out: Path, *, train: bool) -> None:
    """Train and measure rows, and write reproduction.md and reproduction.json for all rows.

    Args:
        ids: The rows to train; empty: all.
        folders: Input and output folders.
        out: The folder of the table.
        train: False: only write the table of existing results.

    Raises:
        RecipeError, RunError, DataError, TrainingError: as `latentd train`.
    """
    chosen = choose_rows(read_rows(), ids)
    targets = list_targets(chosen) if train else {}
    for number, (target, with_report) in enumerate(targets.items(), 1):
        tqdm.write(f"run {number} of {len(targets)}: {target.command}")
        reproduce_target(target, folders, with_report=with_report)
    for study in [row.study for row in chosen if train and row.study is not None]:
        tqdm.write(f"search {study.search}: {study.trials} trials of {study.epochs} epochs")
        reproduce_study(study, folders)
    rows = read_rows()  # the table also contains rows of earlier calls
    find = functools.partial(find_result, folders=folders)
    missing = collect_plots(rows, folders.runs, out, find)
    write_page(describe_rows(rows, find), out)
    print(f"wrote {out / 'reproduction.md'} and .json")
    if missing:
        print(f"missing plots: {', '.join(missing)}")
