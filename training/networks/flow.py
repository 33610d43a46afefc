"""A flow from noise to latents.

Lipman et al., Flow Matching for Generative Modeling, 2023. N rows; L latent dimensions; K classes,
0 without classes; T time features. A condition is a one-hot class, or zeros for any class.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.recipe.schema import FlowRecipe

_FREQUENCIES = 8


class ResidualBlock(nn.Module):
    """Two dense layers with SiLU beside the identity."""

    def __init__(self, width: int) -> None:
        """Create the layers; the second is 0, so that a new block is the identity."""
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, units: Tensor) -> Tensor:
        """Return (N, width)."""
        hidden = self.first(functional.silu(units))  # (N, width) -> same
        change: Tensor = self.second(functional.silu(hidden))  # -> same
        return units + change


class Flow(nn.Module):
    """The velocity of a flow, and its integral in a few Euler steps.

    Inside, latents are standardised with the mean and scale of the training latents.
    """

    mean: Tensor
    scale: Tensor
    step_features: Tensor

    def __init__(self, latents: Tensor, classes: int, recipe: FlowRecipe) -> None:
        """Create the layers for training latents (N, L) of `classes` classes."""
        super().__init__()
        size = latents.shape[1]
        scale = latents.std(dim=0, correction=0)
        self.register_buffer("mean", latents.mean(dim=0))
        self.register_buffer("scale", torch.where(scale > 0, scale, torch.ones_like(scale)))
        times = torch.arange(recipe.steps)[:, None] / recipe.steps
        self.register_buffer("step_features", make_time_features(times))
        self.input = nn.Linear(size + classes, recipe.width)
        self.time = nn.Linear(2 * _FREQUENCIES, recipe.width, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(recipe.width) for _ in range(recipe.blocks)))
        self.output = nn.Linear(recipe.width, size)
        self.latent_size = size
        self.classes = classes
        self.steps = recipe.steps

    def standardise(self, latents: Tensor) -> Tensor:
        """Return latents (N, L) with mean 0 and standard deviation 1 in each dimension."""
        return (latents - self.mean) / self.scale

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise (N, L) and the conditions (N, K) of inputs (N, L + K)."""
        return rows[:, : self.latent_size], rows[:, self.latent_size :]

    def velocity(self, points: Tensor, conditions: Tensor, features: Tensor) -> Tensor:
        """Return the velocity (N, L) at standardised points.

        Args:
            points: (N, L).
            conditions: (N, K).
            features: (N, T) or (1, T), of the time from 0 (noise) to 1 (latents).
        """
        inputs = self.input(torch.cat([points, conditions], dim=1))  # (N, L + K) -> (N, width)
        units = self.blocks(inputs + self.time(features))  # -> (N, width)
        velocities: Tensor = self.output(functional.silu(units))  # -> (N, L)
        return velocities

    def integrate(self, rows: Tensor) -> Tensor:
        """Return standardised latents (N, L) for noise and conditions, (N, L + K)."""
        points, conditions = self.split(rows)
        for step in range(self.steps):
            features = self.step_features[step : step + 1]  # (1, T)
            points = points + self.velocity(points, conditions, features) / self.steps
        return points

    def forward(self, rows: Tensor) -> Tensor:
        """Return latents (N, L) for noise of N(0, I) and conditions, (N, L + K)."""
        return self.integrate(rows) * self.scale + self.mean


def make_time_features(times: Tensor) -> Tensor:
    """Return cosines and sines (N, T) of times (N, 1) in [0, 1]."""
    angles = times * (math.pi * torch.arange(1, _FREQUENCIES + 1, device=times.device))
    return torch.cat([angles.cos(), angles.sin()], dim=1)
