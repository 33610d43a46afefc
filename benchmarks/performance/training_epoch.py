"""Training throughput of latentd's loop and of Lightning, as in the reports."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.options import Options
from benchmarks.harness.peer_environments import PEERS, ensure_environment, read_versions
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.rounds import Goal, alternate, compare, list_columns

_GOAL = Goal(3)
_TRAIN = 50_000
_VALIDATION = 5_000
_LOADERS = (0, 8)
_TIMEOUT = 600.0
_ROOT = Path(__file__).parents[2]
SEED = 1


def make_spec(loaders: int) -> dict[str, Any]:
    """Return the specification of the epoch, with the hyperparameters of report 003."""
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


@dataclass(slots=True)
class EpochTimer:
    """Runs epochs in fresh processes and verifies that all networks have the same size."""

    parameters: int | None = None
    """Number of parameters of the first network."""

    def run(self, command: list[str], spec: dict[str, Any], path: str) -> float:
        """Return the training images per second of an epoch; `path` is the PYTHONPATH.

        Raises:
            RuntimeError: The process failed, or its network has another number of parameters.
        """
        with tempfile.TemporaryDirectory() as folder:
            completed = subprocess.run(  # noqa: S603 - our own
                [sys.executable, *command, json.dumps(spec)],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
        if completed.returncode:
            raise RuntimeError(f"{command[-1]} failed: {completed.stderr[-500:]}")
        result = json.loads(completed.stdout.splitlines()[-1])
        self.check_parameters(result["parameters"])
        return float(spec["train"] / result["seconds"])

    def check_parameters(self, count: int) -> None:
        """Store the first number of parameters, and reject any other one.

        Raises:
            RuntimeError: The number differs.
        """
        self.parameters = self.parameters or count
        if count != self.parameters:
            raise RuntimeError(
                f"Expected {self.parameters} parameters as in latentd's network, got {count}."
            )


def find_packages(options: Options) -> Path:
    """Return the site-packages folder of the Lightning peer, which uses latentd's torch."""
    programs = ensure_environment("lightning", options.peers)
    return next(programs.parent.glob("lib/python*/site-packages"))


def measure(options: Options) -> Record:
    """Train one epoch with each contender in alternating rounds."""
    packages = find_packages(options)
    peer = str(PEERS / "lightning" / "app.py")
    timer = EpochTimer()
    own = ["-m", "benchmarks.performance.own_epoch"]
    peers = {
        f"Lightning, {loaders} loaders": lambda loaders=loaders: timer.run(
            [peer], make_spec(loaders), str(packages)
        )
        for loaders in _LOADERS
    }
    rates = alternate(
        {"latentd": lambda: timer.run(own, make_spec(0), str(_ROOT)), **peers}, options.rounds
    )
    rows = [(name, *compare(rates["latentd"], rates[name], _GOAL)) for name in peers]
    python = packages.parents[2] / "bin" / "python"
    theirs = read_versions(python, ("pytorch-lightning", "torchmetrics"))
    ours = read_versions(sys.executable, ("latentd", "torch", "torchvision"))
    return make_record(options, rows, f"{ours}; {theirs}")


def make_record(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    spec = make_spec(0)
    return Record(
        name="training",
        title="Training: the autoencoder of the reports on Fashion-MNIST",
        seed=SEED,
        command="make bench ARGS=training",
        goal=f"latentd trains at least {_GOAL.limit:g} times as many images per second as the "
        "training script of the reports.",
        columns=("contender", *list_columns("latentd images/s", "contender images/s")),
        rows=rows,
        remark=(
            f"One epoch of {_TRAIN:,} images, then the validation loss of {_VALIDATION:,} other "
            f"images; batches of {spec['batch_size']}, Adam, {spec['threads']} threads. Each epoch "
            "runs in a separate process; reading files and importing modules are excluded. The "
            "contender is `Trainer.fit` of report 003: `ToTensor` for each item, and the given "
            f"number of loader processes (the report uses {_LOADERS[-1]}). Its network is the one "
            "printed in the report, with the same number of parameters as latentd's recipe `seed`, "
            f"and it uses the same torch. {options.rounds} alternating rounds. {versions}. "
            f"{options.remark}"
        ).strip(),
    )
