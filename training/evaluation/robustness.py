"""Robustness: reconstruction errors for corrupted test images, against the clean images.

No choice depends on these measurements.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.errors import RunError
from training.files import replace_json
from training.fitting.examples import Examples
from training.fitting.losses import add_noise
from training.fitting.network_set import NetworkSet
from training.randomness import make_generator

Corruption: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""(images (N, C, H, W) in [0, 1], random generator) -> corrupted images of the same shape."""

NOISE_FACTORS = tuple(step / 10 for step in range(11))
_MAX_SIDES = 8


@dataclass(frozen=True, slots=True)
class Robustness:
    """Mean squared errors per pixel against the clean test images."""

    images: int
    """Number of test images."""
    noise_factors: list[float]
    """Standard deviations of the noise, as in `losses.add_noise`."""
    noise: dict[str, list[float]]
    """The error of each network at each noise factor."""
    occluded_sides: list[int]
    """Sides in pixels of the black square, at a random position in each image."""
    occlusion: dict[str, list[float]]
    """The error of each network at each side."""

    def write(self, path: Path) -> None:
        """Write the measurements as JSON, atomically."""
        replace_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the measurements.

        Raises:
            RunError: the file cannot be read.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{path} cannot be read; delete it to measure again") from error


def measure_robustness(
    networks: NetworkSet, test: LabelledImages, seed: int, device: torch.device
) -> Robustness:
    """Measure the autoencoder, the denoiser and the VAE under noise and occlusion (report 002).

    Args:
        networks: The networks.
        test: The test images.
        seed: The recipe's seed; all networks receive the same corrupted images.
        device: Device of the networks.
    """
    images = Examples.from_images(test, device)
    optional = {
        "autoencoder": networks.autoencoder,
        "denoiser": networks.denoiser,
        "vae": networks.vae,
    }
    measured = {name: network for name, network in optional.items() if network is not None}
    sides = list_sides(*images.inputs.shape[2:])
    return Robustness(
        images=len(images),
        noise_factors=list(NOISE_FACTORS),
        noise=_sweep(
            measured, images, [noise_corruption(factor) for factor in NOISE_FACTORS], seed
        ),
        occluded_sides=sides,
        occlusion=_sweep(measured, images, [occlusion_corruption(side) for side in sides], seed),
    )


def list_sides(height: int, width: int) -> list[int]:
    """Return up to eight sides of occluding squares, from 0 to half of the shorter side."""
    half = min(height, width) // 2
    return sorted({round(side) for side in np.linspace(0, half, _MAX_SIDES)})


def noise_corruption(factor: float) -> Corruption:
    """Return a corruption that adds Gaussian noise of this standard deviation, and clips."""
    return lambda images, generator: add_noise(images, factor, generator)


def occlusion_corruption(side: int) -> Corruption:
    """Return a corruption that sets a `side` x `side` square at a random position to black."""

    def occlude(images: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        rows = _draw_interval(count, height, side, generator).unsqueeze(2)  # (N, H, 1)
        columns = _draw_interval(count, width, side, generator).unsqueeze(1)  # (N, 1, W)
        return images.masked_fill((rows & columns).unsqueeze(1), 0)

    return occlude


def _draw_interval(count: int, length: int, side: int, generator: torch.Generator) -> Tensor:
    """Return a random interval of `side` positions as a mask, (count, length) bool."""
    first = torch.randint(
        length - side + 1, (count, 1), generator=generator, device=generator.device
    )
    positions = torch.arange(length, device=generator.device)
    return (positions >= first) & (positions < first + side)


def measure_errors(
    network: Callable[[Tensor], Tensor],
    images: Examples,
    corruption: Corruption | None = None,
    generator: torch.Generator | None = None,
) -> NDArray[np.float32]:
    """Return the MSE between each clean image and the network's output for it, (N,).

    Args:
        network: Maps images to images.
        images: The clean images.
        corruption: Applied to the network's inputs; None for clean inputs.
        generator: Source of the corruption's randomness.
    """
    errors = []
    for batch, _ in images.batches():
        inputs = batch if corruption is None or generator is None else corruption(batch, generator)
        errors.append((network(inputs) - batch).square().flatten(1).mean(dim=1))
    all_errors: NDArray[np.float32] = torch.cat(errors).cpu().numpy()
    return all_errors


@torch.no_grad()
def _sweep(
    networks: Mapping[str, nn.Module], images: Examples, corruptions: list[Corruption], seed: int
) -> dict[str, list[float]]:
    device = images.inputs.device

    def measure(network: nn.Module, corruption: Corruption) -> float:
        generator = make_generator(device, seed, "robustness")
        return round(float(measure_errors(network, images, corruption, generator).mean()), 7)

    return {
        name: [measure(network, corruption) for corruption in corruptions]
        for name, network in networks.items()
    }
