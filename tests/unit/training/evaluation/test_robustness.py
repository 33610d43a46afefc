"""Robustness: corruptions of images, and errors against clean images."""

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
    measure_robustness,
    occlusion_corruption,
)
from training.fitting.network_set import NetworkSet
from training.randomness import make_generator

CPU = torch.device("cpu")
WHITE = LabelledImages(np.full((60, 1, 8, 12), 255, np.uint8), None)
UNCHANGED = NetworkSet(nn.Identity(), nn.Identity(), None, None, epochs={})


def test_occlusion_positions_are_random() -> None:
    """Each image has one black square inside its borders, and every position occurs."""
    images = torch.ones(500, 3, 5, 6)

    corrupted = occlusion_corruption(2)(images, make_generator(CPU, 0, "test"))

    hidden = corrupted[:, 0] == 0
    assert torch.equal(corrupted[:, 1] == 0, hidden)
    assert hidden.sum(dim=(1, 2)).tolist() == [4] * 500
    assert hidden.any(dim=2).sum(dim=1).tolist() == [2] * 500
    assert hidden.any(dim=0).all()
    assert len({image.numpy().tobytes() for image in hidden}) == 4 * 5


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((28, 28), [0, 2, 4, 6, 8, 10, 12, 14]), ((8, 9), [0, 1, 2, 3, 4]), ((4, 64), [0, 1, 2])],
)
def test_sides_reach_half_of_the_image(shape: tuple[int, int], sides: list[int]) -> None:
    """There are at most eight integer sides, from 0 to half of the shorter side."""
    assert list_sides(*shape) == sides


def test_errors_are_against_the_clean_images() -> None:
    """The error of the identity function equals the corruption and starts at 0."""
    robustness = measure_robustness(UNCHANGED, WHITE, 0, CPU)

    assert robustness.images == 60
    assert robustness.noise_factors == list(NOISE_FACTORS)
    assert robustness.noise.keys() == robustness.occlusion.keys() == {"autoencoder", "denoiser"}
    assert robustness.noise["autoencoder"] == robustness.noise["denoiser"]
    assert robustness.noise["autoencoder"][0] == 0
    assert robustness.noise["autoencoder"] == sorted(robustness.noise["autoencoder"])
    expected = [side**2 / (8 * 12) for side in robustness.occluded_sides]
    assert robustness.occlusion["autoencoder"] == pytest.approx(expected, abs=1e-6)


def test_measurements_are_read_as_written(tmp_path: Path) -> None:
    """The error for a damaged file names it."""
    robustness = measure_robustness(UNCHANGED, WHITE, 0, CPU)
    path = tmp_path / "robustness.json"
    robustness.write(path)

    assert Robustness.read(path) == robustness

    path.write_text("{}")
    with pytest.raises(RunError, match=r"robustness\.json"):
        Robustness.read(path)
