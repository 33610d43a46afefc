"""Bandwidths of kernel densities, chosen by the quality of their samples.

The likelihood of latents favours a kernel that is too wide for a decoder that has seen no latents
between the training latents. The judge detects the resulting bad samples.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from service.artifact.densities import KernelDensity
from service.artifact.manifest import DECODERS, SamplerSpace
from training.randomness import derive_seed
from training.sampling.filtered_gan import RunNetwork
from training.sampling.latents import Floats
from training.sampling.reference_images import ReferenceImages
from training.sampling.samplers import FittedSampler
from training.sampling.source_quality import choose_source

BANDWIDTHS = tuple(float(width) for width in np.logspace(-1, -0.2, 6).round(3))
"""Candidates, in units of each dimension's standard deviation."""
_SAMPLES = 3000


def choose_bandwidths(
    samplers: Mapping[str, FittedSampler],
    reference: ReferenceImages,
    run: RunNetwork,
    seed: int,
) -> dict[str, float]:
    """Return the best bandwidth of each source that is a plain kernel density.

    The candidates are `BANDWIDTHS` and the bandwidth with the highest likelihood. `choose_source`
    selects one as if each were a source: the lowest Frechet distance to the validation images,
    without copies of training images.

    Args:
        samplers: The sources by name.
        reference: The real images.
        run: Decodes latents into images.
        seed: The recipe's seed.
    """
    bandwidths = {}
    for name, sampler in samplers.items():
        if isinstance(sampler.source, KernelDensity):
            candidates = {*BANDWIDTHS, sampler.source.bandwidth}
            rng_seed = derive_seed(seed, "bandwidth", name)
            qualities = {}
            for bandwidth in sorted(candidates):
                density = dataclasses.replace(sampler.source, bandwidth=bandwidth)
                images = _sample(density, sampler.space, run, rng_seed)
                qualities[bandwidth] = reference.measure_validation(images, sampler.space)
            bandwidths[name] = choose_source(qualities)
    return bandwidths


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


def _sample(density: KernelDensity, space: SamplerSpace, run: RunNetwork, seed: int) -> Floats:
    latents = density.draw(_SAMPLES, np.random.default_rng(seed), None, 1.0)
    return run(DECODERS[space], latents)[0]
