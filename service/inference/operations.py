"""Operations on arrays.

An operation is a generator. It yields each network run that it needs as `(network, batch)`,
receives the outputs, and returns its result. This leaves the run to the caller: the scheduler
advances the operations of concurrent requests together and joins runs of the same network into
one batch; `run_alone` runs one operation by itself.

Letters in shapes: N images, C channels, H height, W width, L latent size, K classes. Images are
float32 NCHW in [0, 1]; latents are float32.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.artifact import SPACE_NETWORKS
from service.artifact.detectors import Measurement, run_networks
from service.artifact.specs import DECODERS, NetworkName, SamplerSpace, SpaceName
from service.inference.model import Model
from service.runtimes import Floats

T = TypeVar("T")
NetworkRun: TypeAlias = tuple[NetworkName, Floats]
"""A network of the model and its input batch, (N, *input shape)."""
Steps: TypeAlias = Generator[NetworkRun, list[Floats], T]
"""An operation: yields network runs, receives their outputs, returns its result."""


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Images through the encoder and the decoder, with their reconstruction errors."""

    images: Floats
    """(N, C, H, W)."""
    mse: NDArray[np.float64]
    """(N,) mean squared error per pixel."""
    anomaly_percentile: NDArray[np.float64]
    """(N,) in [0, 100]: percentage of the test set with at most this error."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Latents and the images that were decoded from them."""

    latents: Floats
    """(N, L)."""
    images: Floats
    """(N, C, H, W)."""


def run_alone(model: Model, steps: Steps[T]) -> T:
    """Run one operation to its end and return its result.

    Raises:
        InferenceError: the backend failed.
        InvalidInputError: a network returned non-finite values.
    """
    try:
        run = next(steps)
        while True:
            run = steps.send(model.run(*run))
    except StopIteration as stop:
        result: T = stop.value
        return result


def preprocess(images: Floats) -> Steps[Floats]:
    """Return images (N, C, H, W) as the networks receive them."""
    yield from ()
    return images


def encode(images: Floats, space: SpaceName) -> Steps[list[Floats]]:
    """Encode images (N, C, H, W): [latents (N, L)], for a VAE [means, log-variances]."""
    return (yield SPACE_NETWORKS[space][0], images)


def decode(latents: Floats, space: SamplerSpace) -> Steps[Floats]:
    """Decode latents (N, L) into images (N, C, H, W); in the space `gan`, L is the noise size."""
    (images,) = yield DECODERS[space], latents
    return images


def denoise(images: Floats) -> Steps[Floats]:
    """Remove noise from images (N, C, H, W) (Vincent et al., ICML 2008; report 000)."""
    (denoised,) = yield "denoiser", images
    return denoised


def classify(images: Floats, top_k: int) -> Steps[list[list[tuple[int, float]]]]:
    """Classify images (N, C, H, W).

    Returns:
        For each image the indices of the `top_k` most probable classes with their probabilities,
        most probable first.
    """
    (probabilities,) = yield "classifier", images
    predictions = []
    for row in probabilities.tolist():
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k]
        predictions.append([*zip(order, map(row.__getitem__, order), strict=True)])
    return predictions


def reconstruct(model: Model, images: Floats, space: SpaceName) -> Steps[Reconstruction]:
    """Encode and decode images (N, C, H, W); a VAE decodes the mean."""
    latents = (yield from encode(images, space))[0]
    rebuilt = yield from decode(latents, space)
    mse = np.square(rebuilt - images).mean(axis=(1, 2, 3), dtype=np.float64)
    reference = model.errors[space]
    rank = np.searchsorted(reference, mse.astype(reference.dtype), side="right")
    return Reconstruction(rebuilt, mse, 100 * rank / len(reference))


def sample(
    model: Model,
    source: str,
    count: int,
    rng: np.random.Generator,
    *,
    label: int | None = None,
    temperature: float = 1.0,
) -> Steps[Generation]:
    """Draw latents from a sample source of the model and decode them.

    Args:
        model: A model that has the source.
        source: The source's name.
        count: Number of images, at least 1.
        rng: The only source of randomness.
        label: Class index for a class-conditional source; None for any class.
        temperature: Factor on the source's spread, greater than 0.
    """
    spec = model.manifest.samplers[source]
    latents = model.samplers[source].draw(count, rng, label, temperature)
    for network in spec.networks[:-1]:  # a filtered GAN generates images and encodes them
        (latents,) = yield network, latents
    images = yield from decode(latents, spec.space)
    return Generation(latents, images)


def interpolate(ends: Floats, steps: int, space: SpaceName) -> Steps[Generation]:
    """Decode evenly spaced latents on the line between two latents (report 001).

    Args:
        ends: (2, L).
        steps: Number of images, both ends included, at least 2.
        space: The latent space of `ends`.
    """
    weights = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    latents = (1 - weights) * ends[0] + weights * ends[1]
    images = yield from decode(latents, space)
    return Generation(latents, images)


def detect(model: Model, images: Floats, method: str) -> Steps[Measurement]:
    """Measure how unlike the training images each image (N, C, H, W) is, in standard scores."""
    networks = model.manifest.list_detector_networks(method)
    outputs = yield from run_networks(networks, images)
    return model.detectors[method].detect(images, outputs)
