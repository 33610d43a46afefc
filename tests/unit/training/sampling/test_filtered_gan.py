"""The filtered GAN encodes the images that the GAN generates from its noise."""

import numpy as np
from numpy.typing import NDArray

from service.artifact.samplers import StandardNormal
from training.sampling.filtered_gan import FilteredGan


def run_fake(network: str, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Generate an image of twice the noise, and encode an image as its pixels plus one."""
    if network == "generator":
        return [2 * batch[:, None, None, :]]
    assert network == "encoder"
    return [batch[:, 0, 0] + 1]


def make_rng() -> np.random.Generator:
    """Return the same random numbers each time."""
    return np.random.Generator(np.random.PCG64(0))


def test_latents_are_codes_of_generated_images() -> None:
    """The noise passes through the generator and the encoder, scaled by the temperature."""
    noise = StandardNormal(3)

    latents = FilteredGan(noise, run_fake).draw(5, make_rng(), None, 0.5)

    assert np.array_equal(latents, 2 * noise.draw(5, make_rng(), None, 0.5) + 1)
