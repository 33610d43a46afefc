"""What trainings against a discriminator share: an average of the weights, and checkpoints."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import nn

from training.fitting.runs.checkpoints import (
    damaged_checkpoint,
    read_state,
    write_history,
    write_state,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Stateful: TypeAlias = "Mapping[str, nn.Module | torch.optim.Optimizer]"
"""Objects with a state dict, by name."""
EpochType = TypeVar("EpochType", bound="DataclassInstance")

_DECAY = 0.999


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int) -> None:
    """Update the moving average of a network's weights, with a lower decay in the first steps.

    Yazici et al., The Unusual Effectiveness of Averaging in GAN Training, 2019.
    """
    decay = min(_DECAY, (1 + step) / (10 + step))
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, weights in pairs:
        if mean.dtype.is_floating_point:
            mean.lerp_(weights, 1 - decay)
        else:  # the number of batches of a batch normalisation
            mean.copy_(weights)


def write_states(
    folder: Path, stateful: Stateful, history: "list[EpochType]", *, finished: bool
) -> None:
    """Replace the checkpoint and the history of a folder, each atomically."""
    epochs = [asdict(epoch) for epoch in history]
    states = {name: part.state_dict() for name, part in stateful.items()}
    write_state(folder, {**states, "history": epochs, "finished": finished})
    write_history(folder, len(epochs), epochs)


def load_states(
    folder: Path, device: torch.device, stateful: Stateful, kind: type[EpochType]
) -> list[EpochType]:
    """Load a checkpoint into the objects, and return its history; empty without a checkpoint.

    Raises:
        RunError: the checkpoint cannot be read.
    """
    checkpoint: dict[str, Any] | None = read_state(folder, device)
    if checkpoint is None:
        return []
    try:
        for name, part in stateful.items():
            part.load_state_dict(checkpoint[name])
        return [kind(**epoch) for epoch in checkpoint["history"]]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged_checkpoint(folder) from error
