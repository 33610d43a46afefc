"""Flows from noise to latents: their two trainings, and the samplers that draw through them.

N latents of L dimensions; K classes, 0 without classes.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from service.artifact.samplers import FlowNoise
from training.errors import TrainingError
from training.fitting.examples import Examples
from training.fitting.loop import FitJob, fit
from training.fitting.losses import Loss
from training.networks.flow import Flow, make_time_features
from training.randomness import derive_seed, make_rng, seeded_globally
from training.recipe.schema import FitRecipe, FlowRecipe
from training.sampling.latents import Floats, SplitLatents

_ANY_CLASS = 0.1  # share of latents without their class in training: Ho and Salimans, 2022
_FINE_STEPS = 16
_VALIDATION_PAIRS = 4096


@dataclass(frozen=True, slots=True)
class FlowSampler:
    """Draws latents through a flow. The service runs the flow as a step of `sample`."""

    noise: FlowNoise
    flow: Flow

    @torch.no_grad()
    def draw(
        self, count: int, rng: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        rows = torch.from_numpy(self.noise.draw(count, rng, label, temperature))
        batches = (batch.to(self.flow.mean.device) for batch, _ in Examples(rows).batches())
        return torch.cat([self.flow(batch).cpu() for batch in batches]).numpy()


def fit_flow(
    latents: SplitLatents, recipe: FlowRecipe, seed: int, folder: Path, device: torch.device
) -> FlowSampler:
    """Train, resume or load the flow of a latent space.

    Args:
        latents: The latents; those of validation images decide early stopping.
        recipe: The network and its trainings.
        seed: Seed of the weights and of all noise.
        folder: Folder of the checkpoints.
        device: Device of the network.

    Raises:
        TrainingError: there are no validation images, or a loss is infinite or NaN.
        RunError: a checkpoint cannot be read.
    """
    if not len(latents.validation):
        raise TrainingError("there are 0 validation images")
    training, validation = (
        Examples(_move(codes, device), None if labels is None else _move(labels, device))
        for codes, labels in (
            (latents.training, latents.training_labels),
            (latents.validation, latents.validation_labels),
        )
    )
    with seeded_globally(device, seed, "weights"):
        flow = Flow(training.inputs, latents.classes, recipe).to(device)
    fit(flow, FitJob("flow", recipe, matching_loss, seed, folder, device), training, validation)
    noise = make_noise(latents)
    return FlowSampler(noise, _distil(flow, noise, recipe, derive_seed(seed, "steps"), folder))


def make_noise(latents: SplitLatents) -> FlowNoise:
    """Return the input of a flow: N(0, I), and classes as frequent as among training images."""
    sigma = np.ones(latents.training.shape[1], np.float32)
    if latents.training_labels is None:
        return FlowNoise(sigma)
    counts = np.bincount(latents.training_labels, minlength=latents.classes)
    return FlowNoise(sigma, counts / counts.sum())


def matching_loss(
    network: nn.Module, latents: Tensor, labels: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Return the squared error of the velocity on straight paths from noise to latents (N, L).

    In training mode a tenth of the latents is shown without its class.
    """
    flow = _check(network)
    targets = flow.standardise(latents)
    noise = torch.randn(targets.shape, generator=generator, device=targets.device)
    draws = torch.rand((len(targets), 2), generator=generator, device=targets.device)
    times, keeps = draws[:, :1], draws[:, 1:] >= (_ANY_CLASS if flow.training else 0)
    conditions = latents.new_zeros(len(latents), flow.classes)
    if labels is not None and flow.classes:
        conditions = functional.one_hot(labels, flow.classes) * keeps
    points = noise + times * (targets - noise)
    velocities = flow.velocity(points, conditions, make_time_features(times))
    return functional.mse_loss(velocities, targets - noise)


def distillation_loss(
    network: nn.Module, pairs: Tensor, _labels: Tensor | None, _generator: torch.Generator
) -> Tensor:
    """Return the squared error of the latents that a flow reaches in its few steps.

    Args:
        network: The flow.
        pairs: (N, L + K + L), inputs beside the standardised latents to reach.
    """
    flow = _check(network)
    rows, targets = pairs[:, : -flow.latent_size], pairs[:, -flow.latent_size :]
    return functional.mse_loss(flow.integrate(rows), targets)


@torch.no_grad()
def integrate_finely(flow: Flow, rows: Tensor, guidance: float) -> Tensor:
    """Return standardised latents (N, L) for inputs (N, L + K), by many midpoint steps.

    Args:
        flow: A flow after flow matching.
        rows: Noise and conditions.
        guidance: Factor of the difference that the condition makes to the velocity; 1: none.
    """
    points, conditions = flow.split(rows)

    def velocity(points: Tensor, time: float) -> Tensor:
        features = make_time_features(torch.full((1, 1), time, device=points.device))
        conditional = flow.velocity(points, conditions, features)
        if guidance == 1 or not flow.classes:
            return conditional
        free = flow.velocity(points, torch.zeros_like(conditions), features)
        return free + guidance * (conditional - free)

    for step in range(_FINE_STEPS):
        middle = points + velocity(points, step / _FINE_STEPS) / (2 * _FINE_STEPS)
        points = points + velocity(middle, (step + 0.5) / _FINE_STEPS) / _FINE_STEPS
    return points


def _distil(flow: Flow, noise: FlowNoise, recipe: FlowRecipe, seed: int, folder: Path) -> Flow:
    """Train a copy of a flow to reach in its few steps what the flow reaches in many."""
    device = flow.mean.device
    training, validation = (
        _make_pairs(flow, noise.draw(count, make_rng(seed, purpose), None, 1.0), recipe.guidance)
        for purpose, count in (("pairs", recipe.pairs), ("validation", _VALIDATION_PAIRS))
    )
    distilled = copy.deepcopy(flow)
    settings: FitRecipe = recipe.model_copy(update={"epochs": recipe.distillation_epochs})
    loss: Loss = distillation_loss
    job = FitJob("flow", settings, loss, seed, folder / "distilled", device)
    fit(distilled, job, training, validation)
    return distilled


def _make_pairs(flow: Flow, inputs: Floats, guidance: float) -> Examples:
    """Return inputs beside the latents that they lead to, (N, L + K + L)."""
    batches = Examples(_move(inputs, flow.mean.device)).batches()
    pairs = [torch.cat([rows, integrate_finely(flow, rows, guidance)], 1) for rows, _ in batches]
    return Examples(torch.cat(pairs))


def _check(network: nn.Module) -> Flow:
    if not isinstance(network, Flow):
        raise TypeError(f"expected a flow, got {type(network).__name__}")
    return network


def _move(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)
