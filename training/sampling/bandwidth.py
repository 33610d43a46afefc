"""Bandwidths of kernel densities, chosen by the quality of their samples.

The likelihood of latents favours a kernel that is too wide for a decoder that has seen no latents
between the training latents. The judge detects the resulting bad samples.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from service.artifact.densities import KernelDensity
from service.artifact.manifest import DECODERS
from training.randomness import derive_seed
from training.sampling.filtered_gan import RunNetwork
from training.sampling.samplers import FittedSampler
from training.sampling.source_quality import MIN_MEMORISATION, ReferenceImages

BANDWIDTHS = tuple(float(width) for width in np.logspace(-1, -0.2, 6).round(3))
"""Candidates, in units of each dimension's standard deviation."""
_SAMPLES = 3000


def choose_bandwidths(
    samplers: Mapping[str, FittedSampler], reference: ReferenceImages, run: RunNetwork, seed: int
) -> dict[str, float]:
    """Return the best bandwidth of each source that is a plain kernel density.

    The candidates are `BANDWIDTHS` and the bandwidth with the highest likelihood. The best one has
    the lowest Frechet distance to the validation images among those whose samples are not copies
    (`memorisation` of at least `MIN_MEMORISATION`). If all are copies, the bandwidth with the
    highest likelihood remains.
    """
    return {
        name: _choose(sampler, sampler.source, reference, run, derive_seed(seed, "bandwidth", name))
        for name, sampler in samplers.items()
        if isinstance(sampler.source, KernelDensity)
    }


def set_bandwidths(
    samplers: Mapping[str, FittedSampler], bandwidths: Mapping[str, float]
) -> dict[str, FittedSampler]:
    """Return the samplers with the given bandwidths."""
    changed = dict(samplers)
    for name, bandwidth in bandwidths.items():
        sampler = samplers[name]
        if not isinstance(sampler.source, KernelDensity):
            raise TypeError(f"A sampler of kind {sampler.kind} has no bandwidth")
        density = dataclasses.replace(sampler.source, bandwidth=bandwidth)
        changed[name] = dataclasses.replace(sampler, source=density, content=density.to_bytes())
    return changed


def _choose(
    sampler: FittedSampler,
    density: KernelDensity,
    reference: ReferenceImages,
    run: RunNetwork,
    seed: int,
) -> float:
    best, lowest = density.bandwidth, float("inf")
    for bandwidth in sorted({*BANDWIDTHS, density.bandwidth}):
        candidate = dataclasses.replace(density, bandwidth=bandwidth)
        latents = candidate.draw(_SAMPLES, np.random.default_rng(seed), None, 1.0)
        (images,) = run(DECODERS[sampler.space], latents)
        frechet, memorisation = reference.measure_validation(images)
        if memorisation >= MIN_MEMORISATION and frechet < lowest:
            best, lowest = bandwidth, frechet
    return best
