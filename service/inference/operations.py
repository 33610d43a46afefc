"""The operations that are more than one run of a network, on arrays.

Letters in shapes: N images, C channels, H height, W width, L latent size, K classes. Images are
float32 NCHW in [0, 1]; latents are float32.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact import SPACE_NETWORKS
from service.artifact.manifest import DECODERS, SamplerSpace, SpaceName
from service.inference.model import Model
from service.runtimes import Floats


@dataclass(frozen=True, slots=True)
class Encoding:
    """The codes of images."""

    latents: Floats
    """(N, L); a VAE's means."""
    log_variances: Floats | None
    """(N, L) for a VAE, otherwise None."""


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Images through the encoder and back, and how well they came back."""

    images: Floats
    """(N, C, H, W)."""
    mse: NDArray[np.float64]
    """(N,) mean squared error a pixel."""
    anomaly_percentile: NDArray[np.float64]
    """(N,) in [0, 100]: share of the test set that is reconstructed at least as well."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Images decoded from latents that were drawn or laid along a line."""

    latents: Floats
    """(N, L)."""
    images: Floats
    """(N, C, H, W)."""


def encode(model: Model, images: Floats, space: SpaceName) -> Encoding:
    """Encode images of (N, C, H, W)."""
    outputs = model.run(SPACE_NETWORKS[space][0], images)
    return Encoding(outputs[0], outputs[1] if space == "vae" else None)


def decode(model: Model, latents: Floats, space: SamplerSpace) -> Floats:
    """Decode latents of (N, L) to images of (N, C, H, W); `gan` takes a GAN's noise."""
    return model.run(DECODERS[space], latents)[0]


def reconstruct(model: Model, images: Floats, space: SpaceName) -> Reconstruction:
    """Encode and decode images of (N, C, H, W); a VAE's mean is decoded."""
    rebuilt = decode(model, encode(model, images, space).latents, space)
    mse = np.square(rebuilt - images).mean(axis=(1, 2, 3), dtype=np.float64)
    reference = model.errors[space]
    rank = np.searchsorted(reference, mse.astype(reference.dtype), side="right")
    return Reconstruction(rebuilt, mse, 100 * rank / len(reference))


def sample(
    model: Model,
    source: str,
    count: int,
    generator: np.random.Generator,
    *,
    label: int | None = None,
    temperature: float = 1.0,
) -> Generation:
    """Draw `count` latents from one of the model's samplers and decode them.

    Args:
        model: The model; it has the source.
        source: Name of the sampler.
        count: How many, at least 1.
        generator: Where all randomness comes from.
        label: Class index, for a class-conditional source; None for any class.
        temperature: Factor on the source's spread, greater than 0.
    """
    latents = model.samplers[source].draw(count, generator, label, temperature)
    return Generation(latents, decode(model, latents, model.manifest.samplers[source].space))


def interpolate(model: Model, ends: Floats, steps: int, space: SpaceName) -> Generation:
    """Decode `steps` evenly spaced latents on the line between two, ends included (report 001).

    Args:
        model: The model; it has the space.
        ends: (2, L).
        steps: At least 2.
        space: The latent space of `ends`.
    """
    weights = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    latents = (1 - weights) * ends[0] + weights * ends[1]
    return Generation(latents, decode(model, latents, space))
