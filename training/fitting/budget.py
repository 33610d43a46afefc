"""Time as a choice: measured step times turn a recipe's `minutes` into epochs of each network."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import nn

from training.fitting.examples import Examples
from training.fitting.optimizers import autocast, make_optimizer
from training.fitting.tasks import FitContext, Task, make_task
from training.fitting.time_bar import TimeBar
from training.randomness import make_generator, seeded_globally
from training.recipe.schema import FitRecipe, Recipe

Clock: TypeAlias = Callable[[], float]

_WEIGHTS = {"autoencoder": 5.0, "vae": 2.0, "classifier": 3.0, "denoiser": 3.0}
"""How the time is divided."""
_SHARE = 0.9  # of the minutes; samplers, maps and the report take the rest
_EPOCHS = 40  # validation losses on a learning curve
_MIN_STEPS = 5  # per epoch
_FORWARD = 0.3  # time of a validation batch relative to a training step
_WARM_UP, _TIMED = 2, 4  # steps


def plan_time(context: FitContext, clock: Clock = time.perf_counter) -> Recipe:
    """Return the recipe with the epochs that fit into its `minutes`, and the faster precision.

    Networks that are not trained on images, such as a head on latents, keep their epochs.

    Args:
        context: The recipe and the images.
        clock: Seconds since any moment; `time.process_time` counts CPU time on a busy machine.
    """
    recipe = context.recipe
    seconds = divide_time(recipe)
    changes: dict[str, FitRecipe] = {}
    for name, share in seconds.items():
        task = make_task(name, context)
        if task is not None:
            changes[name] = _plan(task, context, share, clock)
    return recipe.model_copy(update=changes)


def divide_time(recipe: Recipe) -> dict[str, float]:
    """Return the seconds of each network; empty for a recipe without `minutes`."""
    if recipe.minutes is None:
        return {}
    weights = {
        name: weight for name, weight in _WEIGHTS.items() if getattr(recipe, name) is not None
    }
    total = 60 * recipe.minutes * _SHARE
    return {name: total * weight / sum(weights.values()) for name, weight in weights.items()}


def open_time_bar(recipe: Recipe) -> TimeBar | None:
    """Return the bar of a planned training; None without `minutes`."""
    seconds = divide_time(recipe)
    if not seconds:
        return None
    return TimeBar(seconds, {name: _count_steps(getattr(recipe, name)) for name in seconds})


def describe_plan(recipe: Recipe) -> list[str]:
    """Return what the data and the measured step times settled, one line each."""
    sizes = {name: getattr(recipe, name) for name in ("autoencoder", "vae")}
    lines = [
        f"{name}: {section.latent_size} latents"
        + (", mirrored images too" if section.flip is True else "")
        for name, section in sizes.items()
        if section is not None
    ]
    if recipe.minutes is not None:
        steps = ", ".join(
            f"{_count_steps(getattr(recipe, name)):,} steps for the {name}"
            for name in divide_time(recipe)
        )
        lines.append(f"training takes about {recipe.minutes:g} minutes: {steps}")
    return lines


def _count_steps(recipe: FitRecipe) -> int:
    return recipe.epochs * -(-(recipe.epoch_images or recipe.batch_size) // recipe.batch_size)


def _plan(task: Task, context: FitContext, seconds: float, clock: Clock) -> FitRecipe:
    """Return the section with epochs, images per epoch and precision for this time."""
    timed = {
        recipe.precision: _time_step(task, recipe, context, clock)
        for recipe in _list_precisions(task)
    }
    precision = min(timed, key=timed.__getitem__)
    recipe, step = task.recipe, timed[precision]
    evaluation = _FORWARD * step * len(context.validation) / recipe.batch_size
    epochs = int(min(_EPOCHS, max(seconds / (evaluation + _MIN_STEPS * step), 1)))
    steps = int(max((seconds / epochs - evaluation) / step, _MIN_STEPS))
    batch = min(recipe.batch_size, len(context.training))
    changes = {"epochs": epochs, "epoch_images": steps * batch, "precision": precision}
    return recipe.model_copy(update={**changes, "batch_size": batch})


def _list_precisions(task: Task) -> Iterator[FitRecipe]:
    """Yield the section with each precision: bfloat16 is 2.5 times as fast with AMX."""
    for precision in ("float32", "bfloat16"):
        yield task.recipe.model_copy(update={"precision": precision})


def _time_step(task: Task, recipe: FitRecipe, context: FitContext, clock: Clock) -> float:
    """Return the median seconds of a training step of a copy of the network."""
    network: nn.Module = copy.deepcopy(task.network).to(context.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, recipe)
    times = []
    with seeded_globally(context.device, 0, "time"):
        for index in range(_WARM_UP + _TIMED):
            started = clock()
            _run_step(network.train(), task, recipe, optimizer, context.training)
            if index >= _WARM_UP:
                times.append(clock() - started)
    return statistics.median(times)


def _run_step(
    network: nn.Module,
    task: Task,
    recipe: FitRecipe,
    optimizer: torch.optim.Optimizer,
    training: Examples,
) -> None:
    device = training.inputs.device
    generator = make_generator(device, 0, "time")
    batch = torch.randint(len(training), (recipe.batch_size,), generator=generator, device=device)
    with autocast(recipe, device):
        loss = task.loss(network, *training.batch(batch), generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    loss.item()
