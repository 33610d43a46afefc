"""Optimisers, learning rate schedules and mixed precision."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from training.recipe.schema import FitRecipe

_WARM_UP_SHARE = 0.3
_INITIAL_FACTOR = 1 / 25
_FINAL_FACTOR = 1e-4
_MOMENTUM = 0.9


def make_optimizer(network: nn.Module, recipe: FitRecipe) -> torch.optim.Optimizer:
    """Return the optimiser of `recipe` for the trainable parameters of a network."""
    weights = [weights for weights in network.parameters() if weights.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, _MOMENTUM, weight_decay=decay, fused=True)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(weights, rate, weight_decay=decay, fused=True)


def update_learning_rate(
    optimizers: Iterable[torch.optim.Optimizer], step: int, steps: int, recipe: FitRecipe
) -> float:
    """Set the optimisers' step size for step `step` of `steps`, and return it."""
    rate = learning_rate_at(step, steps, recipe)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def learning_rate_at(step: int, steps: int, recipe: FitRecipe) -> float:
    """Return the step size of step `step`, counted from 0, of `steps`.

    `one-cycle` rises from 1/25 of the maximum during the first 30 % of the steps and then falls to
    almost 0, both along a half cosine (Smith and Topin, Super-Convergence, 2018). The schedule is a
    pure function of the step, so checkpoints contain only the step.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = max(_WARM_UP_SHARE * steps, 1)
    if step < warm_up:
        start, end, share = _INITIAL_FACTOR, 1.0, step / warm_up
    else:
        start, end, share = 1.0, _FINAL_FACTOR, (step - warm_up) / max(steps - warm_up, 1)
    return recipe.learning_rate * (end + (start - end) * (1 + math.cos(math.pi * share)) / 2)


def autocast(recipe: FitRecipe, device: torch.device) -> torch.autocast:
    """Return a context that computes in bfloat16 if the recipe requests it."""
    enabled = recipe.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
