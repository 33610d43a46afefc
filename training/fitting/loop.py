"""The one training loop: every network is fitted here, and differs by its loss only."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.data.splits import LabelledImages
from training.errors import TrainingError
from training.fitting.checkpoints import Epoch, Progress, Weights, read_checkpoint, write_checkpoint
from training.fitting.losses import Loss
from training.randomness import make_generator, seeded_globally
from training.recipe.schema import FitRecipe

_WARM_UP_SHARE = 0.3
_FIRST_SHARE = 1 / 25
_LAST_SHARE = 1e-4
_MOMENTUM = 0.9
LOG_SECONDS = 30.0
"""Between two states of a progress bar that goes to a file."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What a network learns from, on a device."""

    inputs: Tensor
    """(N, C, H, W) uint8 pixels, which become float32 in [0, 1] a batch at a time, or (N, L)
    float32 codes."""
    labels: Tensor | None = None
    """(N,) int64 class indices."""

    @classmethod
    def from_images(cls, images: LabelledImages, device: torch.device) -> Self:
        """Put images on a device; on the CPU they are shared, not copied."""
        labels = None if images.labels is None else torch.from_numpy(images.labels).to(device)
        return cls(torch.from_numpy(images.pixels).to(device), labels)

    def __len__(self) -> int:
        """Return N."""
        return len(self.inputs)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the inputs and labels at `indices`, as a network and a loss take them."""
        inputs = self.inputs[indices]
        labels = None if self.labels is None else self.labels[indices]
        return (to_float(inputs) if inputs.dtype == torch.uint8 else inputs), labels


def to_float(pixels: Tensor) -> Tensor:
    """Return uint8 pixels (N, C, H, W) as float32 in [0, 1], laid out as convolutions like it."""
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Fit:
    """One network's training: everything but the network and what it learns from."""

    name: str
    """Names the progress bar, and keeps the randomness apart from that of other networks."""
    recipe: FitRecipe
    loss: Loss
    seed: int
    folder: Path
    """Where the checkpoint and the history go."""
    device: torch.device
    report: Callable[[int, float], None] | None = None
    """Called after each epoch with its number, from 1, and its validation loss; may raise."""


@dataclass(frozen=True, slots=True)
class _State:
    """What an epoch changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress


def fit(network: nn.Module, job: Fit, training: Examples, validation: Examples) -> Progress:
    """Train `network` in place, from its checkpoint if there is one, and keep its best weights.

    After each epoch the validation loss is measured, always with the same noise. Training ends
    after `epochs`, or when `patience` epochs brought nothing better. On the CPU a training that
    was killed and resumed gives the same bits as one that was not.

    Raises:
        TrainingError: the loss became infinite or NaN, or the device's memory is too small.
        RunError: the checkpoint cannot be read.
    """
    # On two CPU cores this layout took a fifth off an epoch of the reports' net.
    network.to(job.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, job.recipe)
    progress = _resume(network, optimizer, job)
    state = _State(network, optimizer, progress)
    with _open_bar(job, len(training), progress) as bar:
        while not progress.finished:
            with _explain_shortage(job):
                epoch = _run_epoch(state, job, training, validation, bar)
            _record(epoch, state, job)
            write_checkpoint(job.folder, progress, network.state_dict(), optimizer.state_dict())
            _show(bar, progress)
            if job.report is not None:
                job.report(len(progress.history), epoch.validation_loss)
    network.load_state_dict(progress.best)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network.eval()
    return progress


def make_optimizer(network: nn.Module, recipe: FitRecipe) -> torch.optim.Optimizer:
    """Return the optimiser that `recipe` names, over the weights that are learned."""
    weights = [weights for weights in network.parameters() if weights.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, _MOMENTUM, weight_decay=decay, fused=True)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(weights, rate, weight_decay=decay, fused=True)


def choose_device(wanted: str = "auto") -> torch.device:
    """Return the device called `wanted`; `auto` is the first there is of cuda, mps and cpu.

    Raises:
        TrainingError: there is no such device here.
    """
    if wanted == "auto":
        has_mps = torch.backends.mps.is_available()
        wanted = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"--device {wanted} cannot be used here: {first}") from error
    return device


def learning_rate_at(step: int, steps: int, recipe: FitRecipe) -> float:
    """Return the step size of step `step` of `steps`, counted from 0.

    `one-cycle` rises from 1/25 of the highest over the first 30 % and falls to nearly nothing,
    both along a half cosine: Smith and Topin, Super-Convergence, 2018. It is a function of the
    step alone, so a resumed training needs no scheduler's state.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = max(_WARM_UP_SHARE * steps, 1)
    if step < warm_up:
        start, end, share = _FIRST_SHARE, 1.0, step / warm_up
    else:
        start, end, share = 1.0, _LAST_SHARE, (step - warm_up) / max(steps - warm_up, 1)
    return recipe.learning_rate * (end + (start - end) * (1 + math.cos(math.pi * share)) / 2)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, job: Fit) -> Progress:
    found = read_checkpoint(job.folder, job.device)
    if found is None:
        return Progress()
    progress, weights, state = found
    network.load_state_dict(weights)
    optimizer.load_state_dict(state)
    return progress


def _run_epoch(
    state: _State, job: Fit, training: Examples, validation: Examples, bar: "tqdm[Any]"
) -> Epoch:
    """Train for one epoch and measure the validation loss."""
    network, optimizer = state.network, state.optimizer
    number = len(state.progress.history)
    generator = make_generator(job.device, job.seed, job.name, "epoch", number)
    order = torch.randperm(len(training), generator=generator, device=job.device)
    batches = divide(order, job.recipe.batch_size)
    started, total, rate = time.perf_counter(), 0.0, 0.0
    network.train()
    with seeded_globally(job.device, job.seed, job.name, "dropout", number):
        for index, batch in enumerate(batches):
            step = number * len(batches) + index
            rate = learning_rate_at(step, job.recipe.epochs * len(batches), job.recipe)
            set_learning_rate(optimizer, rate)
            with lower_precision(job.recipe, job.device):
                loss = job.loss(network, *training.take(batch), generator)
            optimizer.zero_grad(set_to_none=True)
            (loss + _penalize(network, job.recipe.l1)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
            bar.update()
    measured = measure_loss(network, job, validation)
    return Epoch(total / len(training), measured, rate, round(time.perf_counter() - started, 2))


def lower_precision(recipe: FitRecipe, device: torch.device) -> torch.autocast:
    """Compute layers in bfloat16, where the recipe says so."""
    enabled = recipe.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _penalize(network: nn.Module, weight: float) -> Tensor | float:
    """Return the L1 penalty on all weights that are learned, biases as well (report 003)."""
    if not weight:
        return 0.0
    return weight * sum(part.abs().sum() for part in network.parameters() if part.requires_grad)


@torch.no_grad()
def measure_loss(network: nn.Module, job: Fit, examples: Examples) -> float:
    """Return the mean loss over `examples`, with the same noise every time."""
    generator = make_generator(job.device, job.seed, job.name, "validation")
    network.eval()
    total = 0.0
    for batch in divide(torch.arange(len(examples), device=job.device), 1024):
        total += job.loss(network, *examples.take(batch), generator).item() * len(batch)
    return total / len(examples)


@contextlib.contextmanager
def _explain_shortage(job: Fit) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{job.name}: a batch does not fit into the memory of {job.device}; "
            f"a lower {job.name}.batch_size may help"
        ) from error


def divide(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Divide (N,) indices into batches of nearly one size: BatchNorm cannot train on one image."""
    return order.tensor_split(math.ceil(len(order) / batch_size))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the optimiser's next steps have this size."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _record(epoch: Epoch, state: _State, job: Fit) -> None:
    """Add an epoch, keep its weights if they are the best, and decide whether it was the last."""
    progress = state.progress
    if not math.isfinite(epoch.train_loss + epoch.validation_loss):
        raise TrainingError(
            f"{job.name}: the loss is no longer finite in epoch {len(progress.history) + 1}; "
            f"a lower {job.name}.learning_rate may help"
        )
    is_best = epoch.validation_loss < progress.best_loss
    progress.history.append(epoch)
    if is_best:
        progress.best_epoch = len(progress.history)
        progress.best = _copy_weights(state.network)
    waited = len(progress.history) - progress.best_epoch
    is_last = len(progress.history) >= job.recipe.epochs
    progress.finished = is_last or waited >= job.recipe.patience


def _copy_weights(network: nn.Module) -> Weights:
    return {name: weights.detach().cpu().clone() for name, weights in network.state_dict().items()}


def _open_bar(job: Fit, examples: int, progress: Progress) -> "tqdm[Any]":
    steps = math.ceil(examples / job.recipe.batch_size)
    return tqdm(
        total=job.recipe.epochs * steps,
        initial=len(progress.history) * steps,
        disable=progress.finished,
        desc=job.name,
        unit="step",
        leave=None,  # unless it stands under the bar of a search
        mininterval=0.2 if sys.stderr.isatty() else LOG_SECONDS,
    )


def _show(bar: "tqdm[Any]", progress: Progress) -> None:
    last = progress.history[-1]
    bar.set_postfix_str(
        f"epoch {len(progress.history)}, train {last.train_loss:.5g}, "
        f"validation {last.validation_loss:.5g} (best {progress.best_loss:.5g})",
        refresh=False,
    )
