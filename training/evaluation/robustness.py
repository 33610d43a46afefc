"""How much worse a network reconstructs what it sees of an image that was spoiled.

Errors are always against the clean image, as the question is what a network repairs. The test
images are measured here, and nothing is chosen by it.
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
from training.fitting.checkpoints import replace_file
from training.fitting.loop import Examples, divide
from training.fitting.losses import add_noise
from training.fitting.network_set import Networks
from training.randomness import make_generator

Spoiler: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""Takes images (N, C, H, W) in [0, 1] and where its randomness comes from; gives the same shape."""

NOISE_FACTORS = tuple(step / 10 for step in range(11))
_MOST_SIDES = 8
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Robustness:
    """Mean squared errors per pixel against the clean test images."""

    images: int
    """How many images were measured."""
    noise_factors: list[float]
    """Standard deviations of the noise that was added, as `losses.add_noise` does."""
    noise: dict[str, list[float]]
    """For each network its error at each factor."""
    occluded_sides: list[int]
    """Pixels along a side of the black square that was laid on each image at a random place."""
    occlusion: dict[str, list[float]]
    """For each network its error at each side."""

    def write(self, path: Path) -> None:
        """Write it as JSON, in one step."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        replace_file(path, lambda beside: beside.write_text(text))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            RunError: it cannot be read.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{path} cannot be read; without it, it is measured again") from error


def measure_robustness(
    networks: Networks, test: LabelledImages, seed: int, device: torch.device
) -> Robustness:
    """Measure the autoencoder, the denoiser and the VAE on noise and on occlusion (report 002).

    Args:
        networks: The networks.
        test: The test images.
        seed: The recipe's; each network sees the same noise and the same squares.
        device: Where to compute.
    """
    images = Examples.from_images(test, device)
    found = {
        "autoencoder": networks.autoencoder,
        "denoiser": networks.denoiser,
        "vae": networks.vae,
    }
    measured = {name: network for name, network in found.items() if network is not None}
    sides = list_sides(*images.inputs.shape[2:])
    return Robustness(
        images=len(images),
        noise_factors=list(NOISE_FACTORS),
        noise=_sweep(measured, images, [make_noisy(factor) for factor in NOISE_FACTORS], seed),
        occluded_sides=sides,
        occlusion=_sweep(measured, images, [make_occluded(side) for side in sides], seed),
    )


def list_sides(height: int, width: int) -> list[int]:
    """Return the sides of squares to occlude with: up to eight, from 0 to half the image."""
    half = min(height, width) // 2
    return sorted({round(side) for side in np.linspace(0, half, _MOST_SIDES)})


def make_noisy(factor: float) -> Spoiler:
    """Return what adds Gaussian noise of a standard deviation, and clips."""
    return lambda images, generator: add_noise(images, factor, generator)


def make_occluded(side: int) -> Spoiler:
    """Return what lays a black square, `side` pixels along, on each image at a random place."""

    def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        hidden = _cross(count, height, side, generator).unsqueeze(2) & _cross(
            count, width, side, generator
        ).unsqueeze(1)  # (N, H, 1) & (N, 1, W) -> (N, H, W)
        return images.masked_fill(hidden.unsqueeze(1), 0)

    return spoil


def _cross(count: int, length: int, side: int, generator: torch.Generator) -> Tensor:
    """Return for each image which of `length` rows a square covers: (count, length) bool."""
    first = torch.randint(
        length - side + 1, (count, 1), generator=generator, device=generator.device
    )
    places = torch.arange(length, device=generator.device)
    return (places >= first) & (places < first + side)


def measure_errors(
    network: Callable[[Tensor], Tensor],
    images: Examples,
    spoil: Spoiler | None = None,
    generator: torch.Generator | None = None,
) -> NDArray[np.float32]:
    """Return each image's MSE between what a network makes of it and the clean image, (N,).

    Args:
        network: Takes and gives images.
        images: The clean images.
        spoil: What is done to them before the network sees them; None for nothing.
        generator: Where its randomness comes from.
    """
    errors = []
    for indices in divide(torch.arange(len(images), device=images.inputs.device), _BATCH):
        batch, _ = images.take(indices)
        seen = batch if spoil is None or generator is None else spoil(batch, generator)
        errors.append((network(seen) - batch).square().flatten(1).mean(dim=1))
    found: NDArray[np.float32] = torch.cat(errors).cpu().numpy()
    return found


@torch.no_grad()
def _sweep(
    networks: Mapping[str, nn.Module], images: Examples, spoilers: list[Spoiler], seed: int
) -> dict[str, list[float]]:
    device = images.inputs.device

    def measure(network: nn.Module, spoil: Spoiler) -> float:
        generator = make_generator(device, seed, "robustness")
        return round(float(measure_errors(network, images, spoil, generator).mean()), 7)

    return {
        name: [measure(network, spoil) for spoil in spoilers] for name, network in networks.items()
    }
