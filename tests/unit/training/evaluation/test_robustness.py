"""Robustness: what is done to images, and what is compared with what."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.data.splits import LabelledImages
from training.errors import RunError
from training.evaluation.robustness import (
    NOISE_FACTORS,
    Robustness,
    list_sides,
    make_occluded,
    measure_robustness,
)
from training.fitting.network_set import Networks
from training.randomness import make_generator

CPU = torch.device("cpu")
WHITE = LabelledImages(np.full((60, 1, 8, 12), 255, np.uint8), None)
UNCHANGED = Networks(nn.Identity(), nn.Identity(), None, None, epochs={})


def test_a_square_is_hidden_at_places_that_differ() -> None:
    """Each image loses one square of the side, wholly inside; every place comes up."""
    images = torch.ones(500, 3, 5, 6)

    spoiled = make_occluded(2)(images, make_generator(CPU, 0, "test"))

    hidden = spoiled[:, 0] == 0
    assert torch.equal(spoiled[:, 1] == 0, hidden)
    assert hidden.sum(dim=(1, 2)).tolist() == [4] * 500
    assert hidden.any(dim=2).sum(dim=1).tolist() == [2] * 500
    assert hidden.any(dim=0).all()
    assert len({image.numpy().tobytes() for image in hidden}) == 4 * 5


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((28, 28), [0, 2, 4, 6, 8, 10, 12, 14]), ((8, 9), [0, 1, 2, 3, 4]), ((4, 64), [0, 1, 2])],
)
def test_sides_reach_half_of_the_image(shape: tuple[int, int], sides: list[int]) -> None:
    """At most eight whole sides, from nothing to half of the shorter side."""
    assert list_sides(*shape) == sides


def test_errors_are_against_the_clean_images() -> None:
    """What changes nothing is as wrong as its input was spoiled, which grows from nothing."""
    found = measure_robustness(UNCHANGED, WHITE, 0, CPU)

    assert found.images == 60
    assert found.noise_factors == list(NOISE_FACTORS)
    assert found.noise.keys() == found.occlusion.keys() == {"autoencoder", "denoiser"}
    assert found.noise["autoencoder"] == found.noise["denoiser"]
    assert found.noise["autoencoder"][0] == 0
    assert found.noise["autoencoder"] == sorted(found.noise["autoencoder"])
    expected = [side**2 / (8 * 12) for side in found.occluded_sides]
    assert found.occlusion["autoencoder"] == pytest.approx(expected, abs=1e-6)


def test_curves_are_read_back(tmp_path: Path) -> None:
    """The file holds all that was measured; a broken one is told by its name."""
    found = measure_robustness(UNCHANGED, WHITE, 0, CPU)
    path = tmp_path / "robustness.json"
    found.write(path)

    assert Robustness.read(path) == found

    path.write_text("{}")
    with pytest.raises(RunError, match=r"robustness\.json"):
        Robustness.read(path)
