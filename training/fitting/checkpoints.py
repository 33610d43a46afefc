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
    history = [asdict(epoch) for epoch in progress.history]
    state = {
        "history": history,
        "best_epoch": progress.best_epoch,
        "best": progress.best,
        "finished": progress.finished,
        "network": network,
        "optimizer": optimizer,
    }
    write_state(folder, state)
    write_history(folder, progress.best_epoch, history)


def read_checkpoint(
    folder: Path, device: torch.device
) -> tuple[Progress, Weights, dict[str, Any]] | None:
    """Return a folder's progress, weights and optimiser state; None if it has no checkpoint.

    Raises:
        RunError: there is one that cannot be read.
    """
    state = read_state(folder, device)
    if state is None:
        return None
    try:
        progress = Progress(
            [Epoch(**epoch) for epoch in state["history"]],
            state["best_epoch"],
            {name: weights.cpu() for name, weights in state["best"].items()},
            state["finished"],
        )
        return progress, state["network"], state["optimizer"]
    except (KeyError, TypeError) as error:
        raise explain_damage(folder) from error


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace a folder's checkpoint in one step; `state` has `finished`, true or false, in it."""
    replace_file(folder / CHECKPOINT_FILE, lambda path: torch.save(state, path))


def read_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return what `write_state` wrote; None if there is nothing.

    Raises:
        RunError: there is something that cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        # torch's own text recommends to read it in a way that runs what it holds.
        raise explain_damage(folder) from error
    if not isinstance(state, dict) or not isinstance(state.get("finished"), bool):
        raise explain_damage(folder)
    return state


def explain_damage(folder: Path) -> RunError:
    """Return the error of a checkpoint that is none."""
    return RunError(f"{folder / CHECKPOINT_FILE} is damaged or no checkpoint; --fresh starts over")


def write_history(folder: Path, best_epoch: int, epochs: list[dict[str, float]]) -> None:
    """Replace a folder's history, which is for people and the report, in one step."""
    text = json.dumps({"best_epoch": best_epoch, "epochs": epochs}, indent=1)
    replace_file(folder / HISTORY_FILE, lambda path: path.write_text(text + "\n"))


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
    state = read_state(folder, torch.device("cpu"))
    return state is not None and state["finished"]
