"""Images a second in training, by latentd's loop and by the reports' way."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from records import Cell, Record

from performance.environments import PEERS, ensure_environment, read_versions
from performance.options import Options
from performance.rounds import Goal, alternate, compare, list_columns

_GOAL = Goal(3)
_TRAIN = 50_000
_VALIDATION = 5_000
_LOADERS = (0, 8)
_TIMEOUT = 600.0
_BENCHMARKS = Path(__file__).parents[1]
SEED = 1


def describe(loaders: int) -> dict[str, Any]:
    """Return what both are told: report 003's batch, optimiser and rate."""
    return {
        "root": str(Path(os.environ.get("LATENTD_DATA", "data")).absolute()),
        "threads": len(os.sched_getaffinity(0)),
        "loaders": loaders,
        "train": _TRAIN,
        "validation": _VALIDATION,
        "batch_size": 300,
        "learning_rate": 5e-4,
        "latent_size": 16,
    }


def time_epoch(command: list[str], spec: dict[str, Any], path: str) -> float:
    """Return the images that a fresh process trains on a second.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(  # noqa: S603 - our own
            [sys.executable, *command, json.dumps(spec)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if ended.returncode:
        raise RuntimeError(f"{command[-1]} failed: {ended.stderr[-500:]}")
    return float(spec["train"] / float(ended.stdout.split()[-1]))


def find_packages(options: Options) -> Path:
    """Return the folder of Lightning's packages, beside which latentd's own torch is used."""
    programs = ensure_environment("lightning", options.peers)
    return next(programs.parent.glob("lib/python*/site-packages"))


def measure(options: Options) -> Record:
    """Train one epoch each, in turn."""
    packages = find_packages(options)
    peer = str(PEERS / "lightning" / "app.py")
    ways = {
        f"Lightning, {loaders} loaders": lambda loaders=loaders: time_epoch(
            [peer], describe(loaders), str(packages)
        )
        for loaders in _LOADERS
    }
    own = {
        "latentd": lambda: time_epoch(
            ["-m", "performance.own_epoch"], describe(0), str(_BENCHMARKS)
        )
    }
    figures = alternate(own | ways, options.rounds)
    rows = [(name, *compare(figures["latentd"], figures[name], _GOAL)) for name in ways]
    theirs = read_versions(
        packages.parents[2] / "bin" / "python", ("pytorch-lightning", "torchmetrics")
    )
    ours = read_versions(sys.executable, ("latentd", "torch", "torchvision"))
    return write(options, rows, f"{ours}; {theirs}")


def write(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    spec = describe(0)
    return Record(
        name="training",
        title="Training: the reports' net on Fashion-MNIST",
        seed=SEED,
        command="make bench ARGS=training",
        goal="latentd trains at least three times as many images a second as the reports' way.",
        columns=("beside", *list_columns("latentd images/s", "other images/s")),
        rows=rows,
        remark=(
            f"One epoch of {_TRAIN:,} images and the loss of {_VALIDATION:,} others after it, "
            f"batches of {spec['batch_size']}, Adam, {spec['threads']} threads, each in a process "
            "of its own; reading the files and importing are not counted. The other: "
            "`Trainer.fit` of report 003, `ToTensor` for every item, with so many processes that "
            f"load (the report has {_LOADERS[-1]}); the net as its report "
            "prints it, and the same torch. "
            f"{options.rounds} alternating rounds. {versions}. {options.remark}"
        ).strip(),
    )
