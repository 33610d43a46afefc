"""The state of an unfinished training, kept so that a killed one goes on where it was.

Tensors and plain numbers only: reading a checkpoint runs nothing.
"""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from training.errors import RunError

Weights: TypeAlias = dict[str, Tensor]

CHECKPOINT_FILE = "checkpoint.pt"
HISTORY_FILE = "history.json"


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training images gave."""

    train_loss: float
    validation_loss: float
    learning_rate: float
    """The last step's."""
    seconds: float


@dataclass(slots=True)
class Progress:
    """How far the training of one network has come."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    """The epoch, from 1, with the lowest validation loss; 0 before the first."""
    best: Weights = field(default_factory=dict)
    """The weights after it, on the CPU."""
    finished: bool = False

    @property
    def best_loss(self) -> float:
        """The lowest validation loss so far; infinite before the first epoch."""
        if not self.best_epoch:
            return float("inf")
        return self.history[self.best_epoch - 1].validation_loss


def write_checkpoint(
    folder: Path, progress: Progress, network: Weights, optimizer: dict[str, Any]
) -> None:
    """Replace a folder's checkpoint and history in one step each."""
    folder.mkdir(parents=True, exist_ok=True)
    history = [asdict(epoch) for epoch in progress.history]
    state = {
        "history": history,
        "best_epoch": progress.best_epoch,
        "best": progress.best,
        "finished": progress.finished,
        "network": network,
        "optimizer": optimizer,
    }
    replace_file(folder / CHECKPOINT_FILE, lambda path: torch.save(state, path))
    text = json.dumps({"best_epoch": progress.best_epoch, "epochs": history}, indent=1)
    replace_file(folder / HISTORY_FILE, lambda path: path.write_text(text + "\n"))


def read_checkpoint(
    folder: Path, device: torch.device
) -> tuple[Progress, Weights, dict[str, Any]] | None:
    """Return a folder's progress, weights and optimiser state; None if it has no checkpoint.

    Raises:
        RunError: there is one that cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        progress = Progress(
            [Epoch(**epoch) for epoch in state["history"]],
            state["best_epoch"],
            {name: weights.cpu() for name, weights in state["best"].items()},
            state["finished"],
        )
        return progress, state["network"], state["optimizer"]
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        # torch's own text recommends to read it in a way that runs what it holds.
        raise RunError(f"{path} is damaged or no checkpoint; --fresh starts over") from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path` and rename it there, so that a kill leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def is_finished(folder: Path) -> bool:
    """Tell whether a network was fitted to the end."""
    found = read_checkpoint(folder, torch.device("cpu"))
    return found is not None and found[0].finished
