"""Training examples on a device, and their batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from training.data.splits import LabelledImages
from training.errors import TrainingError

_EVALUATION_BATCH = 1024
_EVALUATION_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs of a network and their labels, on a device."""

    inputs: Tensor
    """(N, C, H, W) uint8 pixels, which `batch` converts into float32 in [0, 1]; or float32 images
    or latents (N, ...), which it returns unchanged."""
    labels: Tensor | None = None
    """(N,) int64 class indices."""

    @classmethod
    def from_images(cls, images: LabelledImages, device: torch.device) -> Self:
        """Move images to a device. On the CPU the tensors share memory with the arrays."""
        labels = None if images.labels is None else torch.from_numpy(images.labels).to(device)
        return cls(torch.from_numpy(images.pixels).to(device), labels)

    def __len__(self) -> int:
        """Return N."""
        return len(self.inputs)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the inputs, as float32, and the labels at `indices`."""
        inputs = self.inputs[indices]
        labels = None if self.labels is None else self.labels[indices]
        return (_to_float(inputs) if inputs.dtype == torch.uint8 else inputs), labels

    def batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield all examples in order, in batches of up to 1024 and 64 MiB, for evaluation."""
        order = torch.arange(len(self), device=self.inputs.device)
        fitting = _EVALUATION_BYTES // (4 * max(1, self.inputs[:1].numel()))
        size = max(1, min(_EVALUATION_BATCH, fitting))
        return (self.batch(indices) for indices in split_batches(order, size))


def split_batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split (N,) indices into batches of equal size, give or take one.

    A last batch of one image would fail: BatchNorm cannot train on it.
    """
    return order.tensor_split(max(1, math.ceil(len(order) / batch_size)))


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; `auto` selects the first available of cuda, mps and cpu.

    Raises:
        TrainingError: the device is unavailable.
    """
    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"--device {name} is unavailable: {reason}") from error
    return device


def _to_float(pixels: Tensor) -> Tensor:
    """Return uint8 pixels as float32 in [0, 1], in the memory format that convolutions prefer."""
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)
