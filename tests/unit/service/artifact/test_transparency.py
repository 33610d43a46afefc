"""Transparent canvases: ink that would vanish on the background of the model is shown."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.pixels import Invert, to_pixels

SIZE = 8


def make_spec(level: float, channels: int = 1) -> ImageSpec:
    """Return an image specification with a background level."""
    return ImageSpec(channels=channels, height=SIZE, width=SIZE, background=(level,) * channels)


def draw(ink: int, alpha: int = 255, mode: str = "RGBA") -> Image.Image:
    """Return a transparent canvas with a square of ink in its middle."""
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    pixels[2:6, 2:6] = (ink, ink, ink, alpha)
    return Image.fromarray(pixels).convert(mode)


def fill(inner: int, outer: int) -> NDArray[np.uint8]:
    """Return the same square as grey levels."""
    pixels = np.full((SIZE, SIZE), outer, np.uint8)
    pixels[2:6, 2:6] = inner
    return pixels


@pytest.mark.parametrize(
    ("ink", "level", "invert", "inner", "outer"),
    [
        (0, 0.0, "false", 0, 255),
        (0, 0.0, "auto", 255, 0),
        (0, 0.0, "true", 255, 0),
        (40, 0.0, "auto", 255, 0),
        (255, 0.0, "false", 255, 0),
        (255, 0.0, "auto", 255, 0),
        (100, 0.0, "false", 100, 0),
        (255, 1.0, "false", 255, 0),
        (0, 1.0, "false", 0, 255),
    ],
)
def test_ink_contrasts_with_its_canvas(
    ink: int, level: float, invert: Invert, inner: int, outer: int
) -> None:
    """Ink keeps its level, and the canvas is the background unless the ink would vanish on it."""
    for mode in ("RGBA", "LA"):
        pixels = to_pixels(draw(ink, mode=mode), make_spec(level), invert)[0]

        assert np.array_equal(pixels, fill(inner, outer))


def test_colour_bundle() -> None:
    """Black ink on a transparent canvas becomes black on white for a bundle in colour."""
    pixels = to_pixels(draw(0), make_spec(0.0, 3))

    assert np.array_equal(pixels, np.stack([fill(0, 255)] * 3))


def test_faint_ink_is_not_lost() -> None:
    """Faint white ink stays on black, since it would show even less on white."""
    pixels = to_pixels(draw(255, alpha=50), make_spec(0.0))[0]

    assert np.array_equal(pixels, fill(50, 0))


def test_empty_canvas_is_the_background() -> None:
    """A canvas without ink is the background."""
    assert to_pixels(draw(0, alpha=0), make_spec(0.0)).max() == 0


def test_image_without_transparent_pixels_keeps_its_background() -> None:
    """A half-transparent image without an empty pixel is no drawing, and stays dark."""
    image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 128))

    assert to_pixels(image, make_spec(0.0)).max() == 0
