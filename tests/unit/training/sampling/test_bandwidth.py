"""Bandwidths chosen by sample quality; a fake measures the spread of samples instead."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from service.artifact import Metric
from service.artifact.samplers import FlowNoise, KernelDensity, StandardNormal
from service.artifact.specs import SamplerSpace
from service.artifact.tensor_files import Floats
from training.recipe.schema import FlowRecipe
from training.sampling.bandwidth import (
    BANDWIDTHS,
    SPREADS,
    choose_bandwidths,
    set_bandwidths,
)
from training.sampling.flows import FlowSampler, fit_flow
from training.sampling.latents import SplitLatents
from training.sampling.reference_images import Quality, ReferenceImages
from training.sampling.samplers import FittedSampler

LIKELIEST = 0.5


@dataclass
class Spread:
    """A reference for which samples of standard deviation 0.2 look real."""

    copies: Callable[[float], bool]

    def measure_validation(self, images: Floats, space: SamplerSpace) -> Quality:
        """Return the distance, and a memorisation that is lower the more narrow copies are."""
        assert space == "autoencoder"
        spread = float(images.std())
        values = {
            "validation_frechet": abs(spread - 0.2),
            "validation_memorisation": 0.5 * min(spread, 1) if self.copies(spread) else 1.0,
            "validation_near_copies": 0.0,
            "memorisation_limit": 0.85,
            "near_copies_limit": 2.0,
        }
        return {
            name: Metric(value=value, unit="", split="validation", count=1)
            for name, value in values.items()
        }


@pytest.fixture
def samplers() -> dict[str, FittedSampler]:
    """Return a density whose draws have its bandwidth as spread, and a source without one."""
    density = KernelDensity(np.zeros((4, 2), np.float32), np.ones(2, np.float32), LIKELIEST)
    return {
        "kde": FittedSampler("kde", "autoencoder", density, density.to_bytes()),
        "prior": FittedSampler("prior", "vae", StandardNormal(2)),
    }


def choose(samplers: dict[str, FittedSampler], copies: Callable[[float], bool]) -> dict[str, float]:
    """Return the chosen bandwidths; samples with some spreads count as copies."""
    reference = cast("ReferenceImages", Spread(copies))
    return choose_bandwidths(samplers, reference, lambda _, latents: [latents], 0)


def test_the_bandwidth_with_the_lowest_distance_is_chosen(
    samplers: dict[str, FittedSampler],
) -> None:
    """Only kernel densities have a bandwidth."""
    assert choose(samplers, lambda _: False) == {"kde": 0.209}


def test_bandwidths_that_copy_are_excluded(samplers: dict[str, FittedSampler]) -> None:
    """The next best one is chosen; if all copy, the one that copies least."""
    assert choose(samplers, lambda spread: spread < 0.25) == {"kde": 0.302}
    assert choose(samplers, lambda _: True) == {"kde": max(BANDWIDTHS)}


def test_the_spread_of_a_flow_is_chosen_and_stored(tmp_path: Path) -> None:
    """A flow has candidates as a density has; the published file has the chosen one."""
    latents = SplitLatents(np.zeros((8, 2), np.float32), np.zeros((8, 2), np.float32))
    recipe = FlowRecipe(width=4, blocks=1, epochs=1, pairs=8, distillation_epochs=1)
    flow = fit_flow(latents, recipe, 0, tmp_path, torch.device("cpu"))
    samplers = {"flow": FittedSampler("flow", "autoencoder", flow, flow.noise.to_bytes())}

    chosen = choose(samplers, lambda _: True)
    updated = set_bandwidths(samplers, {"flow": 1.1})["flow"]

    assert chosen["flow"] in SPREADS
    assert updated.content is not None
    assert FlowNoise.from_bytes(updated.content).sigma.tolist() == pytest.approx([1.1, 1.1])
    draws = [
        cast("FlowSampler", some.source).noise.draw(5, np.random.default_rng(0), None, 1.0)
        for some in (samplers["flow"], updated)
    ]
    assert np.allclose(1.1 * draws[0], draws[1])


def test_the_chosen_bandwidth_is_in_the_file(samplers: dict[str, FittedSampler]) -> None:
    """The published file and the measured source have the same bandwidth."""
    updated = set_bandwidths(samplers, {"kde": 0.3})
    content = updated["kde"].content
    assert content is not None
    assert KernelDensity.from_bytes(content).bandwidth == 0.3
    assert cast("KernelDensity", updated["kde"].source).bandwidth == 0.3
    assert updated["prior"] is samplers["prior"]
