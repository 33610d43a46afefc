"""The bandwidth of a kernel density over codes, chosen by how its samples look.

The likelihood of codes chooses too wide a kernel for a decoder that knows little of the space
between codes; the judge sees that in the samples.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from service.artifact.densities import KernelDensity
from service.artifact.manifest import DECODERS
from service.artifact.samplers import RunNetwork
from training.randomness import derive_seed
from training.sampling.judging import COPYING, Yardstick
from training.sampling.samplers import FittedSampler

BANDWIDTHS = tuple(float(width) for width in np.logspace(-1, -0.2, 6).round(3))
"""Standard deviations of a dimension."""
_SAMPLES = 3000


def choose_bandwidths(
    samplers: Mapping[str, FittedSampler], yardstick: Yardstick, run: RunNetwork, seed: int
) -> dict[str, float]:
    """Return the best bandwidth for each source that is a plain kernel density.

    Of `BANDWIDTHS` and the one under which codes are likeliest, the best is that whose samples
    have the lowest Frechet distance to the validation images and do not copy training images
    (`memorisation` of at least `COPYING`); the likeliest one where all copy.
    """
    return {
        name: _choose_bandwidth(sampler, yardstick, run, derive_seed(seed, "bandwidth", name))
        for name, sampler in samplers.items()
        if isinstance(sampler.source, KernelDensity)
    }


def set_bandwidths(
    samplers: Mapping[str, FittedSampler], bandwidths: Mapping[str, float]
) -> dict[str, FittedSampler]:
    """Return the samplers with the chosen bandwidths."""
    return {
        name: _set_bandwidth(sampler, bandwidths[name]) if name in bandwidths else sampler
        for name, sampler in samplers.items()
    }


def _set_bandwidth(sampler: FittedSampler, bandwidth: float) -> FittedSampler:
    if not isinstance(sampler.source, KernelDensity):
        raise TypeError(f"a sampler of kind {sampler.kind} has no bandwidth")
    density = dataclasses.replace(sampler.source, bandwidth=bandwidth)
    return dataclasses.replace(sampler, source=density, content=density.to_bytes())


def _choose_bandwidth(
    sampler: FittedSampler, yardstick: Yardstick, run: RunNetwork, seed: int
) -> float:
    likeliest = sampler.source.bandwidth if isinstance(sampler.source, KernelDensity) else 0.0
    best, least = likeliest, float("inf")
    for bandwidth in sorted({*BANDWIDTHS, likeliest}):
        source = _set_bandwidth(sampler, bandwidth).source
        latents = source.draw(_SAMPLES, np.random.default_rng(seed), None, 1.0)
        (images,) = run(DECODERS[sampler.space], latents)
        frechet, memorisation = yardstick.measure_validation(images)
        if memorisation >= COPYING and frechet < least:
            best, least = bandwidth, frechet
    return best
