"""Checkpoints: the state of an unfinished training, from which a killed process resumes.

They contain tensors and plain numbers only; reading one executes no code.
"""

import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from training.errors import RunError
from training.files import replace_bytes, replace_json

Weights: TypeAlias = dict[str, Tensor]

CHECKPOINT_FILE = "checkpoint.pt"
HISTORY_FILE = "history.json"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Measurements of one pass over the training images."""

    train_loss: float
    validation_loss: float
    learning_rate: float
    """Of the last step."""
    seconds: float


@dataclass(slots=True)
class Progress:
    """The training progress of one network."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    """The epoch, from 1, with the lowest validation loss; 0 before the first, and for the start."""
    best: Weights = field(default_factory=dict)
    """The weights after that epoch, on the CPU."""
    finished: bool = False
    start_loss: float = float("inf")
    """The validation loss before the first epoch, if the start is a candidate; else infinite."""

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return len(self.history)

    @property
    def best_loss(self) -> float:
        """The lowest validation loss."""
        if not self.best_epoch:
            return self.start_loss
        return self.history[self.best_epoch - 1].validation_loss

    def describe(self) -> str:
        """Return the losses of the last epoch as one line."""
        last = self.history[-1]
        return (
            f"epoch {self.epoch}, train {last.train_loss:.5g}, "
            f"validation {last.validation_loss:.5g} (best {self.best_loss:.5g})"
        )


def write_checkpoint(
    folder: Path, progress: Progress, network: Weights, optimizer: dict[str, Any]
) -> None:
    """Replace the checkpoint and the history of a folder, each atomically."""
    history = [asdict(epoch) for epoch in progress.history]
    state = {
        "history": history,
        "best_epoch": progress.best_epoch,
        "best": progress.best,
        "finished": progress.finished,
        "start_loss": progress.start_loss,
        "network": network,
        "optimizer": optimizer,
    }
    write_state(folder, state)
    write_history(folder, progress.best_epoch, history)


def read_checkpoint(
    folder: Path, device: torch.device
) -> tuple[Progress, Weights, dict[str, Any]] | None:
    """Return progress, weights and optimiser state; None without a checkpoint.

    Raises:
        RunError: the checkpoint cannot be read.
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
            state.get("start_loss", float("inf")),
        )
        return progress, state["network"], state["optimizer"]
    except (KeyError, TypeError) as error:
        raise damaged_checkpoint(folder) from error


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace a folder's checkpoint atomically. `state["finished"]` must be a bool."""
    # Through memory: torch reports a full disk without its cause.
    stream = io.BytesIO()
    torch.save(state, stream)
    replace_bytes(folder / CHECKPOINT_FILE, stream.getvalue())


def read_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the state that `write_state` wrote; None without a checkpoint.

    Raises:
        RunError: the checkpoint cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        # torch's own message recommends weights_only=False, which executes code from the file.
        raise damaged_checkpoint(folder) from error
    if not isinstance(state, dict) or not isinstance(state.get("finished"), bool):
        raise damaged_checkpoint(folder)
    return state


def read_weights(folder: Path) -> Weights | None:
    """Return the weights that a finished training keeps; None without a checkpoint.

    They are those of the best epoch, or an average.

    Raises:
        RunError: the checkpoint cannot be read.
    """
    state = read_state(folder, torch.device("cpu"))
    if state is None:
        return None
    weights: Weights | None = state.get("average", state.get("best"))
    if weights is None:
        raise damaged_checkpoint(folder)
    return weights


def damaged_checkpoint(folder: Path) -> RunError:
    """Return the error for a checkpoint that cannot be read."""
    return RunError(f"{folder / CHECKPOINT_FILE} is damaged; start over with --fresh")


def write_history(folder: Path, best_epoch: int, epochs: list[dict[str, float]]) -> None:
    """Replace a folder's history, which the report and people read, atomically."""
    replace_json(folder / HISTORY_FILE, {"best_epoch": best_epoch, "epochs": epochs})


def is_finished(folder: Path) -> bool:
    """Return whether the training in a folder is complete."""
    state = read_state(folder, torch.device("cpu"))
    return state is not None and state["finished"]
