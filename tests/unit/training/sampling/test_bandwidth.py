"""Tests of the bandwidth that the judge chooses; real images are played by a target spread."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest

from service.artifact.densities import KernelDensity
from service.artifact.samplers import StandardNormal
from service.artifact.tensor_files import Floats
from training.sampling.bandwidth import choose_bandwidths, set_bandwidths
from training.sampling.judging import Yardstick
from training.sampling.samplers import FittedSampler

LIKELIEST = 0.5


@dataclass
class Spread:
    """A yardstick for which samples of standard deviation 0.2 look real."""

    copies: Callable[[float], bool]

    def measure_validation(self, images: Floats) -> tuple[float, float]:
        """Return a distance, and a ratio that is low for copies."""
        spread = float(images.std())
        return abs(spread - 0.2), 0.1 if self.copies(spread) else 1.0


@pytest.fixture
def samplers() -> dict[str, FittedSampler]:
    """Return a density whose draws have its bandwidth for a spread, and a source without one."""
    density = KernelDensity(np.zeros((4, 2), np.float32), np.ones(2, np.float32), LIKELIEST)
    return {
        "kde": FittedSampler("kde", "autoencoder", density, density.to_bytes()),
        "prior": FittedSampler("prior", "vae", StandardNormal(2)),
    }


def choose(samplers: dict[str, FittedSampler], copies: Callable[[float], bool]) -> dict[str, float]:
    """Return the choice of a yardstick that takes some spreads for copies."""
    yardstick = cast("Yardstick", Spread(copies))
    return choose_bandwidths(samplers, yardstick, lambda _, latents: [latents], 0)


def test_the_bandwidth_whose_samples_look_most_real_is_chosen(
    samplers: dict[str, FittedSampler],
) -> None:
    """Only a kernel density has a bandwidth."""
    assert choose(samplers, lambda _: False) == {"kde": 0.209}


def test_a_bandwidth_that_copies_is_not_chosen(samplers: dict[str, FittedSampler]) -> None:
    """The next best is; where all copy, the likeliest stays."""
    assert choose(samplers, lambda spread: spread < 0.25) == {"kde": 0.302}
    assert choose(samplers, lambda _: True) == {"kde": LIKELIEST}


def test_the_chosen_bandwidth_goes_into_the_bundle(samplers: dict[str, FittedSampler]) -> None:
    """The file that is published says the same as the source that is judged."""
    settled = set_bandwidths(samplers, {"kde": 0.3})
    content = settled["kde"].content
    assert content is not None
    assert KernelDensity.from_bytes(content).bandwidth == 0.3
    assert cast("KernelDensity", settled["kde"].source).bandwidth == 0.3
    assert settled["prior"] is samplers["prior"]
