"""Write docs/anomaly.md: `python -m benchmarks.anomaly.run PROTOCOL ...`.

The protocols `mnist`, `fashion-mnist` and `cifar10` take each class in turn as normal: its training
images fit and choose, and all test images are measured. `foreign` measures the other data set.
`textures` are drawn.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.anomaly.subjects import fit, measure, measure_pixels
from benchmarks.anomaly.textures import DEFECTS, TEXTURES, draw
from benchmarks.harness.records import ANOMALY, Bound, Record, conclude
from benchmarks.page_writer import find_page, write_page
from training.data.datasets import read_data
from training.data.splits import Splits
from training.recipe.parsing import parse_recipe

METHODS = ("default", "segmentation", "reconstruction", "patches", "neighbours")
Scores = dict[str, float]


def read_splits(dataset: str, scratch: Path) -> Splits:
    """Return a data set by its name or folder."""
    members = {"name": "normal", "data": {"dataset": dataset}, "autoencoder": {}}
    return read_data(parse_recipe(members), Path(os.environ.get("LATENTD_DATA", "data")), scratch)


def measure_classes(splits: Splits, classes: list[int], seed: int) -> list[tuple[str, Scores]]:
    """Return the AUROC with each class as normal, by method."""
    train, held, test = splits.train, splits.validation, splits.test
    pixels = np.concatenate([train.pixels, held.pixels])
    labels = np.concatenate([train.labels, held.labels])
    rows = []
    for label in classes:
        with fit(pixels[labels == label], seed) as fitted:
            is_normal = test.labels == label
            found = measure(fitted, test.pixels[is_normal], test.pixels[~is_normal])
        rows.append(((splits.classes or ())[label], found))
        print(*rows[-1], flush=True)
    return rows


def measure_one_class(name: str, splits: Splits, goal: float, flags: argparse.Namespace) -> int:
    """Measure a data set with one class as normal, and write its record."""
    classes = flags.classes or [*range(len(splits.classes or ()))]
    rows = measure_classes(splits, classes, flags.seed)
    return write(name, rows, goal, flags.seed)


def measure_foreign(flags: argparse.Namespace) -> int:
    """Measure each of two data sets against the other."""
    rows = []
    sets = {name: read_splits(name, Path()) for name in ("fashion-mnist", "mnist")}
    for (name, own), other in zip(sets.items(), reversed(sets.values()), strict=True):
        with fit(np.concatenate([own.train.pixels, own.validation.pixels]), flags.seed) as fitted:
            rows.append((name, measure(fitted, own.test.pixels, other.test.pixels)))
        print(*rows[-1], flush=True)
    return write("foreign", rows, 0.995, flags.seed)


def measure_textures(flags: argparse.Namespace) -> int:
    """Measure drawn textures with drawn defects."""
    rows = []
    for number, texture in enumerate(TEXTURES):
        with fit(draw(texture, 100, 10 * number + flags.seed)[0], flags.seed) as fitted:
            normal, none = draw(texture, 60, 1000 + number)
            spoiled = [draw(texture, 20, 2000 + number, defect) for defect in DEFECTS]
            images = np.concatenate([each for each, _ in spoiled])
            found = measure(fitted, normal, images)
            masks = np.concatenate([none, *(mask for _, mask in spoiled)])
            found["pixels"] = measure_pixels(fitted, np.concatenate([normal, images]), masks)
        rows.append((texture, found))
        print(*rows[-1], flush=True)
    return write("textures", rows, 0.95, flags.seed)


def write(name: str, rows: list[tuple[str, Scores]], goal: float, seed: int) -> int:
    """Write a record with the mean in its last row, and the page; return the exit status."""
    columns = [*METHODS, *(["pixels"] if "pixels" in rows[0][1] else [])]
    mean = {each: float(np.mean([found[each] for _, found in rows])) for each in columns}
    table = [
        [subject_name, *(round(found[each], 3) for each in columns)]
        for subject_name, found in [*rows, ("mean", mean)]
    ]
    reached = [Bound(each, goal, ">=") for each in columns if each in {"default", "pixels"}]
    command = f"python -m benchmarks.anomaly.run {name}"
    record = Record(
        name=name,
        title=_TITLES[name],
        command=command,
        goal=f"Mean AUROC of the default method of at least {goal}.",
        columns=("normal", *columns),
        rows=table,
        seed=seed,
        remark=_REMARKS[name],
        bounds=[*([] for _ in rows), reached],
    )
    status = conclude(record, ANOMALY)
    find_page("anomaly").write_text(write_page("anomaly"))
    return status


_TITLES = {
    "mnist": "MNIST, one class normal",
    "fashion-mnist": "Fashion-MNIST, one class normal",
    "cifar10": "CIFAR-10 (a part), one class normal",
    "foreign": "Fashion-MNIST against MNIST, and back",
    "textures": "Drawn textures and defects",
}
_ONE_CLASS = (
    "Each class in turn is normal: its training images only, of which a tenth calibrates and "
    "chooses; all test images. "
)
_REMARKS = {
    "mnist": _ONE_CLASS,
    "fashion-mnist": _ONE_CLASS,
    "cifar10": _ONE_CLASS + "12,000 of the 60,000 photographs: 1,000 training images a class.",
    "foreign": "The training images of one data set are normal; the test images of both.",
    "textures": "90 normal images train, 10 calibrate and choose; 60 normal and 60 spoiled images "
    "(cracks, stains, scratches) of 96 x 96 pixels, drawn by benchmarks/anomaly/textures.py, which "
    "shares no code with the defects that training makes up. *pixels* is the AUROC of the places.",
}


def main() -> int:
    """Measure the protocols named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocols", nargs="+", choices=sorted(_REMARKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", type=int, nargs="+", help="some classes only")
    parser.add_argument("--cifar10", metavar="FOLDER", help="folder of the photographs")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, Callable[[], int]] = {
        "mnist": lambda: measure_one_class("mnist", read_splits("mnist", Path()), 0.98, flags),
        "fashion-mnist": lambda: measure_one_class(
            "fashion-mnist", read_splits("fashion-mnist", Path()), 0.935, flags
        ),
        "cifar10": lambda: measure_one_class(
            "cifar10", read_splits(flags.cifar10, Path()), 0.66, flags
        ),
        "foreign": lambda: measure_foreign(flags),
        "textures": lambda: measure_textures(flags),
    }
    return max(runs[name]() for name in flags.protocols)


if __name__ == "__main__":
    sys.exit(main())
