"""Automatic inversion: grey paper, faint ink, uneven light, and images that must not change."""

import numpy as np
import pytest
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.levels import has_light_border, to_light_on_dark
from service.artifact.pixels import to_pixels
from service.artifact.tensor_files import Floats

SIZE = 16
SPEC = ImageSpec(channels=1, height=SIZE, width=SIZE, background=(0.0,))


def draw(paper: float, ink: float, channels: int = 1) -> Floats:
    """Return an image (C, 16, 16) of paper with a square of ink in its middle."""
    image = np.full((channels, SIZE, SIZE), paper, np.float32)
    image[:, 5:11, 5:11] = ink
    return image


EXPECTED = draw(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ink", [0, 40, 80])
@pytest.mark.parametrize("paper", [160, 200, 235, 245, 255])
def test_grey_paper_becomes_black(paper: int, ink: int, channels: int) -> None:
    """Paper of any level becomes 0, and ink of any level 1."""
    image = to_light_on_dark(draw(paper / 255, ink / 255, channels))

    assert np.abs(image - EXPECTED).max() < 1e-5


@pytest.mark.parametrize("angle", [0, 1, 2.5])
def test_uneven_light(angle: float) -> None:
    """Light that falls off across the page disappears."""
    ramp = np.linspace(-1, 1, SIZE)
    light = 0.8 + 0.1 * (np.cos(angle) * ramp[:, None] + np.sin(angle) * ramp)

    image = to_light_on_dark((draw(0.9, 0.2) * light).astype(np.float32))

    assert image[EXPECTED == 0].max() < 0.02
    assert image[EXPECTED == 1].min() > 0.7


def test_chalk_on_a_grey_board() -> None:
    """Light ink on dark grey is stretched and not inverted."""
    assert np.abs(to_light_on_dark(draw(0.2, 0.8)) - EXPECTED).max() < 1e-5


@pytest.mark.parametrize("paper", [0.0, 7 / 255])
def test_right_levels_stay(paper: float) -> None:
    """Light ink on a nearly black background keeps every value."""
    image = draw(paper, 0.97)

    assert np.array_equal(to_light_on_dark(image), image)


def test_uneven_border_stays() -> None:
    """A photograph without paper around its subject keeps its levels."""
    image = np.random.default_rng(0).uniform(0, 0.6, (1, SIZE, SIZE)).astype(np.float32)

    assert np.array_equal(to_light_on_dark(image), image)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.7, 1.0])
def test_empty_page_is_not_amplified(level: float) -> None:
    """The noise of an empty page does not become ink."""
    noise = np.random.default_rng(0).normal(0, 0.01, (1, SIZE, SIZE)).astype(np.float32)

    image = to_light_on_dark((level + noise).clip(0, 1))

    assert np.ptp(image) < 0.15


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (1, 5, 1), (1, 2, 2)])
def test_tiny_images(shape: tuple[int, ...]) -> None:
    """Images that consist of their border stay in range."""
    image = to_light_on_dark(np.random.default_rng(0).random(shape, np.float32))

    assert image.shape == shape
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_padding_does_not_hide_the_paper() -> None:
    """A drawing on grey paper that is not square is levelled before it is padded with black."""
    page = Image.fromarray((draw(220 / 255, 30 / 255)[0] * 255).astype(np.uint8)).resize((16, 8))

    pixels = to_pixels(page, SPEC, "auto")[0]

    assert pixels[:4].max() == pixels[12:].max() == 0
    assert pixels[4:12, [0, -1]].max() <= 1
    assert pixels[8, 8] >= 254


def test_light_border() -> None:
    """A border is light if its mean is over one half, whatever the interior."""
    assert has_light_border(draw(0.6, 0.0))
    assert not has_light_border(draw(0.5, 1.0))
