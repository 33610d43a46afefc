"""Bandwidths of kernel densities and spreads of flows, chosen by the quality of their samples.

The likelihood of latents favours a kernel that is too wide for a decoder that has seen no latents
between the training latents. The judge detects the resulting bad samples. The noise of a flow may
have to be wider than in training, so that its samples are not too near to training images.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from service.artifact.samplers import KernelDensity
from service.artifact.specs import DECODERS
from training.randomness import derive_seed
from training.sampling.filtered_gan import RunNetwork
from training.sampling.flows import FlowSampler
from training.sampling.reference_images import ReferenceImages
from training.sampling.samplers import FittedSampler
from training.sampling.source_quality import choose_source

BANDWIDTHS = tuple(float(width) for width in np.logspace(-1, -0.2, 6).round(3))
"""Candidates, in units of each dimension's standard deviation."""
SPREADS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3)
"""Candidates for the standard deviation of a flow's noise; it is 1 in training."""
_SAMPLES = 3000


def choose_bandwidths(
    samplers: Mapping[str, FittedSampler], reference: ReferenceImages, run: RunNetwork, seed: int
) -> dict[str, float]:
    """Return the best bandwidth of each plain kernel density, and the best spread of each flow.

    The candidates are `BANDWIDTHS` and the bandwidth with the highest likelihood, or `SPREADS`.
    `choose_source` selects one as if each were a source: the lowest Frechet distance to the
    validation images, without copies of training images.
    """
    bandwidths = {}
    for name, sampler in samplers.items():
        rng_seed, qualities = derive_seed(seed, "bandwidth", name), {}
        for bandwidth in _list_candidates(sampler):
            source = _set(sampler, bandwidth).source
            latents = source.draw(_SAMPLES, np.random.default_rng(rng_seed), None, 1.0)
            (images,) = run(DECODERS[sampler.space], latents)
            qualities[bandwidth] = reference.measure_validation(images, sampler.space)
        if qualities:
            bandwidths[name] = choose_source(qualities)
    return bandwidths


def set_bandwidths(
    samplers: Mapping[str, FittedSampler], bandwidths: Mapping[str, float]
) -> dict[str, FittedSampler]:
    """Return the samplers with the given bandwidths and spreads."""
    changed = {name: _set(samplers[name], bandwidth) for name, bandwidth in bandwidths.items()}
    return {**samplers, **changed}


def _list_candidates(sampler: FittedSampler) -> list[float]:
    if isinstance(sampler.source, KernelDensity):
        return sorted({*BANDWIDTHS, sampler.source.bandwidth})
    return [*SPREADS] if isinstance(sampler.source, FlowSampler) else []


def _set(sampler: FittedSampler, bandwidth: float) -> FittedSampler:
    source = sampler.source
    if isinstance(source, KernelDensity):
        density = dataclasses.replace(source, bandwidth=bandwidth)
        return dataclasses.replace(sampler, source=density, content=density.to_bytes())
    if isinstance(source, FlowSampler):
        sigma = np.full_like(source.noise.sigma, bandwidth)
        noise = dataclasses.replace(source.noise, sigma=sigma)
        flow = dataclasses.replace(source, noise=noise)
        return dataclasses.replace(sampler, source=flow, content=noise.to_bytes())
    raise TypeError(f"A sampler of kind {sampler.kind} has no bandwidth")
