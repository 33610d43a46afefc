"""Detectors of a run: fit, calibration and choice, on small made images."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.artifact import ImageSpec
from service.artifact.detectors import Measurement
from training.anomaly.choice import Comparison, measure_pixels
from training.anomaly.detectors import FittedDetectors, _draw, fit_detectors
from training.anomaly.statistics import choose_neighbours, fit_patch_density
from training.data.splits import Defects, LabelledImages, Pixels, Splits
from training.evaluation.detectors import describe_detection, measure_detectors
from training.fitting.network_set import NetworkSet
from training.networks.layers import fold_batch_norms
from training.networks.segmenter import Segmenter
from training.recipe.parsing import parse_recipe
from training.recipe.schema import DetectionRecipe

SHAPE = (1, 20, 24)
RECIPE = parse_recipe(
    {
        "name": "stripes",
        "data": {"dataset": "digits"},
        "autoencoder": {},
        "detection": {"steps": 60},
    }
)


class MeanImage(nn.Module):
    """An encoder or a decoder that knows the mean of the stripes only."""

    def __init__(self, output: Tensor) -> None:
        """Store the output for any input."""
        super().__init__()
        self.register_buffer("output", output)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output for each input."""
        output = cast("Tensor", self.output)
        return output.expand(len(inputs), *output.shape)


def draw_stripes(count: int, seed: int) -> Pixels:
    """Return images of horizontal stripes with noise."""
    rng = np.random.default_rng(seed)
    rows = np.arange(SHAPE[1])[None, :, None]
    stripes = 120 + 60 * np.sin(rows / 2) + rng.normal(0, 5, (count, *SHAPE[1:]))
    return stripes.clip(0, 255).astype(np.uint8)[:, None]


def draw_defects(count: int) -> Pixels:
    """Return stripes with a dark vertical line."""
    pixels = draw_stripes(count, 9)
    pixels[:, :, 4:16, 11:13] //= 4
    return pixels


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Return normal images, and real defects."""
    parts = [LabelledImages(draw_stripes(n, s), None) for n, s in ((60, 0), (20, 1), (30, 2))]
    image = ImageSpec(channels=1, height=SHAPE[1], width=SHAPE[2])
    return Splits("stripes", image, None, *parts, defects=Defects(draw_defects(10), ("line",) * 10))


@pytest.fixture(scope="module")
def networks(splits: Splits) -> NetworkSet:
    """Return an autoencoder that returns the mean image."""
    mean = torch.from_numpy(splits.train.pixels.mean(axis=0) / 255).float()
    autoencoder = SimpleNamespace(encoder=MeanImage(torch.zeros(2)), decoder=MeanImage(mean))
    return cast("NetworkSet", SimpleNamespace(autoencoder=autoencoder))


@pytest.fixture(scope="module")
def fitted(
    splits: Splits, networks: NetworkSet, tmp_path_factory: pytest.TempPathFactory
) -> FittedDetectors:
    """Return the detectors of the stripes; test images and defects cannot be read."""
    hidden = dataclasses.replace(splits, test=cast("Any", None), defects=None)
    folder = tmp_path_factory.mktemp("run") / "detectors"
    return fit_detectors(RECIPE, hidden, networks, folder, lambda _: None)


def test_default_detector_finds_real_defects(fitted: FittedDetectors, splits: Splits) -> None:
    """Chosen by made-up defects alone, it separates real defects from test images."""
    measured = measure_detectors(fitted, splits)

    quality = measured.specs[measured.default].quality
    assert quality["test_auroc"].value > 0.95
    assert quality["test_average_precision"].value > 0.9
    assert quality["test_f1"].value > 0.7
    assert quality["test_false_alarms"].value <= 10
    assert (quality["test_false_alarms"].count, quality["test_auroc"].count) == (30, 40)
    assert quality["validation_auroc"].split == "validation"
    (sentence,) = describe_detection(measured)
    assert "separates 10 defects from 30 test images with an AUROC of" in sentence


def test_heat_map_shows_the_defect(fitted: FittedDetectors) -> None:
    """The strongest place of the default's heat map is on the line."""
    maps = fitted.detect(fitted.default, draw_defects(10)).maps

    assert maps is not None
    height, width = maps.shape[1:]
    places = [np.unravel_index(each.argmax(), each.shape) for each in maps]
    on_line = [
        4 - 2 <= row * SHAPE[1] / height < 16 + 2 and abs(column * SHAPE[2] / width - 12) < 5
        for row, column in places
    ]
    assert np.mean(on_line) >= 0.8


def test_every_detector_has_its_file(fitted: FittedDetectors) -> None:
    """The specifications name all files; the default is one of them."""
    assert fitted.list_files().keys() == {spec.file for spec in fitted.specs.values()}
    assert fitted.default in fitted.specs
    assert fitted.specs.keys() >= {"segmentation", "patches", "reconstruction", "neighbours"}


def test_a_stored_segmenter_is_not_trained_again(
    splits: Splits, networks: NetworkSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run gets the same weights without training."""
    recipe = RECIPE.model_copy(
        update={"detection": RECIPE.detection.model_copy(update={"steps": 2})}
    )
    first = fit_detectors(recipe, splits, networks, tmp_path / "detectors", lambda _: None)
    monkeypatch.setattr("training.anomaly.segmentation._train", None)

    again = fit_detectors(recipe, splits, networks, tmp_path / "detectors", lambda _: None)

    pixels = splits.test.pixels
    assert (
        first.detect("segmentation", pixels).scores == again.detect("segmentation", pixels).scores
    ).all()


def test_choice_prefers_few_detectors() -> None:
    """A second detector joins only if it finds defects that the first misses."""
    none, some = np.zeros(4, np.float32), np.float32([9, 9, 0, 0])
    masks = dict.fromkeys(("one", "two"), np.ones((4, 2, 2), np.bool_))

    def compare(second: np.ndarray) -> Comparison:
        kinds = {"first": Measurement(some), "second": Measurement(second)}
        normal = {"first": none, "second": none}
        return Comparison(normal, {"one": kinds, "two": kinds}, masks)

    assert compare(some).choose() == ("first",)
    assert compare(some[::-1]).choose() == ("first", "second")


def test_pixels_of_one_kind_have_no_auroc() -> None:
    """Without defective or without normal places there is nothing to separate."""
    assert measure_pixels(np.zeros(4, np.float32), np.zeros(4, np.bool_)) is None
    assert measure_pixels(np.float32([0, 1]), np.array([False, True])) == 1


def test_patch_density_is_the_mahalanobis_distance() -> None:
    """Training images are near 1 per feature; an image outside their distribution is far."""
    pixels = draw_stripes(200, 0)
    network = fit_patch_density(pixels, 0)

    with torch.no_grad():
        known, other = (
            network(torch.from_numpy(each).float() / 255) for each in (pixels, 255 - pixels)
        )

    features = network.factors.shape[1]
    assert float(known.expm1().mean()) < 1.2 * features
    assert float(other.min()) > float(known.max())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 70), (1, 150, 64)])
def test_maps_cover_images_of_any_size(shape: tuple[int, int, int]) -> None:
    """Maps have at most 64 places a side, and folded batch normalisation changes nothing."""
    torch.manual_seed(0)
    images = torch.rand(2, *shape)
    segmenter = Segmenter(shape).eval()
    density = fit_patch_density((255 * images).byte().numpy(), 0)

    with torch.no_grad():
        found, folded = segmenter(images), fold_batch_norms(segmenter)(images)
        places = density(images)

    assert max(found.shape[1:]) <= 64
    assert found.shape[1] / found.shape[2] == pytest.approx(shape[1] / shape[2], rel=0.1)
    assert torch.allclose(found, folded, atol=1e-4)
    assert places.isfinite().all()
    assert max(places.shape[1:]) <= 8


def test_neighbours_fit_into_the_bundle() -> None:
    """Large training sets are thinned to 384 KiB."""
    pixels = np.zeros((3000, 1, 28, 28), np.uint8)

    chosen = choose_neighbours(pixels, 0)

    assert chosen.nbytes <= 384 * 1024
    assert chosen.dtype == np.uint8


def test_nothing_is_said_without_real_defects(fitted: FittedDetectors, splits: Splits) -> None:
    """Normal test images alone give false alarms, and no separation."""
    measured = measure_detectors(fitted, dataclasses.replace(splits, defects=None))

    assert describe_detection(measured) == []
    assert "test_auroc" not in measured.specs[measured.default].quality
    assert "test_false_alarms" in measured.specs[measured.default].quality


def test_large_images_are_thinned_to_the_memory() -> None:
    """At most 64 MiB of images fit and calibrate, but at least 20."""
    large = np.broadcast_to(np.uint8(0), (900, 3, 512, 512))
    small = np.broadcast_to(np.uint8(0), (9000, 1, 28, 28))

    assert len(_draw(LabelledImages(large, None), 4000, 0)) == 85
    assert len(_draw(LabelledImages(small, None), 4000, 0)) == 4000


def test_many_images_are_scored_in_chunks(fitted: FittedDetectors, splits: Splits) -> None:
    """The scores are those of all images at once."""
    pixels = np.concatenate([splits.test.pixels] * 10)

    scores = fitted.score(fitted.default, pixels)

    once = fitted.detect(fitted.default, splits.test.pixels).scores
    assert scores == pytest.approx(np.tile(once, 10), abs=1e-4)


def test_private_images_are_not_in_the_bundle(
    splits: Splits, networks: NetworkSet, tmp_path: Path
) -> None:
    """With `data.examples` of 0 no detector contains training images."""
    data = RECIPE.data.model_copy(update={"examples": 0})
    steps = RECIPE.detection.model_copy(update={"steps": 2})
    recipe = RECIPE.model_copy(update={"data": data, "detection": steps})

    private = fit_detectors(recipe, splits, networks, tmp_path / "detectors", lambda _: None)

    kinds = {spec.kind for spec in private.specs.values()}
    assert "neighbours" not in kinds
    assert kinds >= {"segmentation", "patches", "reconstruction"}


@pytest.mark.parametrize(("minutes", "steps"), [(None, 300), (10, 300), (1, 60), (0.001, 1)])
def test_a_short_training_has_a_short_segmenter(minutes: float | None, steps: int) -> None:
    """The steps follow the time that the whole training may take."""
    assert DetectionRecipe(steps=300).limit_steps(minutes) == steps
