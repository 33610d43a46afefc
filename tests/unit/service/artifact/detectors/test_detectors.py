"""Detectors on arrays: scores, maps and their files."""

import dataclasses

import numpy as np
import pytest

from service.artifact.detectors import (
    STORED_DETECTORS,
    Calibration,
    CombinedDetector,
    NeighbourDetector,
    PatchDensityDetector,
    ReconstructionDetector,
    SegmentationDetector,
    StoredDetector,
    run_networks,
)
from service.artifact.detectors.combined import resize_maps
from service.artifact.detectors.neighbours import reduce_images
from service.artifact.specs import DETECTOR_NETWORKS
from service.errors import ArtifactError

PLAIN = Calibration(np.float32([0, 1]), 0.0, 1.0)
SHAPE = (1, 32, 40)
RNG = np.random.default_rng(0)
NORMAL = RNG.random((6, *SHAPE), dtype=np.float32)
DETECTORS: dict[str, StoredDetector] = {
    "reconstruction": ReconstructionDetector(
        PLAIN, np.zeros(SHAPE[1:], np.float32), np.full(SHAPE[1:], 0.1, np.float32)
    ),
    "neighbours": NeighbourDetector(PLAIN, np.rint(255 * reduce_images(NORMAL)).astype(np.uint8)),
    "patches": PatchDensityDetector(PLAIN),
    "segmentation": SegmentationDetector(PLAIN),
}


@pytest.mark.parametrize("kind", STORED_DETECTORS)
def test_a_file_restores_the_detector(kind: str) -> None:
    """Every kind is written and read without loss, and knows its networks."""
    restored = STORED_DETECTORS[kind].from_bytes(DETECTORS[kind].to_bytes())

    assert restored.to_bytes() == DETECTORS[kind].to_bytes()
    assert kind in DETECTOR_NETWORKS


def test_scores_are_standard_scores() -> None:
    """A detector applies its calibration to scores and maps."""
    detector = SegmentationDetector(Calibration(np.float32([0, 1]), centre=2.0, scale=4.0))

    found = detector.detect(NORMAL[:1], {"segmenter": np.full((1, 4, 5), 10, np.float32)})

    assert found.scores.tolist() == [2]
    assert found.maps is not None
    assert found.maps.shape == (1, 4, 5)
    assert (found.maps == 2).all()


@pytest.mark.parametrize(
    ("kind", "network"), [("patches", "patch_density"), ("segmentation", "segmenter")]
)
def test_one_strong_place_decides(kind: str, network: str) -> None:
    """A small region makes the score, however normal the rest is."""
    maps = np.zeros((2, 8, 8), np.float32)
    maps[1, 3, 4] = 5

    found = DETECTORS[kind].detect(NORMAL[:2], {network: maps})  # type: ignore[dict-item]

    assert found.scores.tolist() == [0, 5]


def test_reconstruction_error_is_relative_to_the_place() -> None:
    """The same error counts less where normal images have errors too; the map shows the place."""
    mean = np.zeros(SHAPE[1:], np.float32)
    deviation = np.full(SHAPE[1:], 0.01, np.float32)
    deviation[:, :20] = 1
    detector = ReconstructionDetector(PLAIN, mean, deviation)
    left, right = NORMAL[0].copy(), NORMAL[0].copy()
    left[0, 10:16, 5:11] += 0.5
    right[0, 10:16, 28:34] += 0.5

    found = detector.detect(np.stack([left, right]), {"decoder": np.stack([NORMAL[0]] * 2)})

    assert found.maps is not None
    assert found.scores[1] > 10 * found.scores[0]
    assert np.unravel_index(found.maps[1].argmax(), SHAPE[1:])[1] in range(28, 34)


def test_neighbours_are_the_training_images() -> None:
    """A training image is nearer than a similar image, and that is nearer than its opposite."""
    images = np.stack([NORMAL[0], NORMAL[0].clip(0.1, 0.9), 1 - NORMAL[0]])
    detector = NeighbourDetector(PLAIN, np.rint(255 * reduce_images(NORMAL[:1])).astype(np.uint8))

    known, similar, opposite = detector.detect(images, {}).scores

    assert known == pytest.approx(0, abs=2e-3)
    assert known < similar < opposite


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 16, 16), (1, 33, 20), (3, 200, 3)])
def test_reduced_images_have_at_most_16_blocks_a_side(shape: tuple[int, int, int]) -> None:
    """Images of any size are reduced to block means."""
    reduced = reduce_images(np.full((2, *shape), 0.25, np.float32))

    assert reduced.shape[1] <= 16 * 16 * shape[0]
    assert reduced == pytest.approx(0.25)


def test_combination_is_the_maximum() -> None:
    """It finds what any member finds, and its map is the largest of theirs."""
    members = [SegmentationDetector(PLAIN), PatchDensityDetector(PLAIN), DETECTORS["neighbours"]]
    outputs = {
        "segmenter": np.zeros((2, 8, 10), np.float32),
        "patch_density": np.zeros((2, 2, 2), np.float32),
    }
    outputs["segmenter"][0] = 3
    outputs["patch_density"][1, 0, 0] = 7

    found = CombinedDetector(PLAIN, members).detect(NORMAL[:2], outputs)  # type: ignore[arg-type]

    assert found.scores.tolist() == [3, 7]
    assert found.maps is not None
    assert found.maps.shape == (2, *SHAPE[1:])
    assert found.maps.max(axis=(1, 2)) == pytest.approx([3, 7])


def test_resized_maps_keep_their_range_and_places() -> None:
    """Interpolation between places adds no larger or smaller values, at any size."""
    maps = np.float32([[[0, 1], [2, 3]]])

    large = resize_maps(maps, (7, 9))

    assert large.shape == (1, 7, 9)
    assert (large.min(), large.max()) == (0, 3)
    assert large[0, 0, 0] == 0
    assert large[0, -1, -1] == 3
    assert resize_maps(maps, (2, 2)) is maps


@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        (
            dataclasses.replace(DETECTORS["reconstruction"], mean=np.zeros((3, 4), np.float32)),
            r"expected error maps of \(32, 40\), got \(3, 4\)",
        ),
        (
            NeighbourDetector(PLAIN, np.zeros((2, 3), np.uint8)),
            "expected neighbours of 130 numbers",
        ),
    ],
)
def test_detector_of_other_images_is_rejected(detector: StoredDetector, reason: str) -> None:
    """Parameters for images of another shape are named."""
    with pytest.raises(ArtifactError, match=reason):
        detector.check_fit(SHAPE)


def test_a_decoder_receives_the_latents() -> None:
    """Networks run in order; all but the decoder receive the images."""
    steps = run_networks(("encoder", "decoder", "segmenter"), NORMAL)
    latents, images, maps = np.zeros((6, 2)), NORMAL / 2, np.zeros((6, 4, 4))

    assert next(steps)[1] is NORMAL
    assert steps.send([latents]) == ("decoder", latents)  # type: ignore[list-item]
    assert steps.send([images])[1] is NORMAL
    with pytest.raises(StopIteration) as stop:
        steps.send([maps])  # type: ignore[list-item]
    assert [*stop.value.value] == ["encoder", "decoder", "segmenter"]
