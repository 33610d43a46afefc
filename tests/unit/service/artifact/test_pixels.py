"""Image conversion: expected pixel values for every mode, size and option."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.levels import has_light_border
from service.artifact.pixels import to_pixels


def make_spec(
    channels: int = 1, height: int = 4, width: int = 4, resize: str = "pad", level: float = 0.0
) -> ImageSpec:
    """Return the image specification of a bundle."""
    return ImageSpec(
        channels=channels,
        height=height,
        width=width,
        resize=resize,
        background=(level,) * channels,
    )


def make_image(rows: object, mode: str | None = None) -> Image.Image:
    """Return an image of 8-bit values."""
    image = Image.fromarray(np.array(rows, dtype=np.uint8))
    return image.convert(mode) if mode else image


def make_halves(left: int, right: int, size: int = 4) -> NDArray[np.uint8]:
    """Return a square with one value in each half."""
    return np.repeat([[left] * (size // 2) + [right] * (size // 2)], size, axis=0).astype(np.uint8)


def test_matching_image_is_unchanged() -> None:
    """An image of the right size and mode keeps every pixel."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)

    assert np.array_equal(to_pixels(make_image(pixels), make_spec())[0], pixels)


def test_sixteen_bit_grey_is_scaled() -> None:
    """16-bit grey is scaled to 8 bits; clipping would make most of it white."""
    deep = np.array([[0, 257, 128 * 257, 65_535]] * 4, dtype=np.uint16)

    assert to_pixels(Image.fromarray(deep), make_spec())[0, 0].tolist() == [0, 1, 128, 255]


def test_levels_of_sixteen_bit_grey_become_black_and_white() -> None:
    """Values outside them are clipped; 8-bit images are unchanged."""
    spec = make_spec(height=1).model_copy(update={"levels": (1000, 4095)})
    deep = Image.fromarray(np.array([[500, 1000, 4095, 65_535]], np.uint16))

    assert to_pixels(deep, spec).tolist() == [[[0, 0, 255, 255]]]
    assert to_pixels(make_image([[0, 1, 4, 255]]), spec).tolist() == [[[0, 1, 4, 255]]]


def test_palette_colours_are_resolved() -> None:
    """A palette image gives its colours, not its indices."""
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])

    assert to_pixels(image, make_spec(3))[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(("level", "expected"), [(0.0, 100), (1.0, 228)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_blended_with_the_background(
    mode: str, level: float, expected: int
) -> None:
    """Half-transparent 200 over black is 100, over white 228."""
    color = (200, 128) if mode == "LA" else (200, 200, 200, 128)
    image = Image.new(mode, (4, 4), color)

    pixels = to_pixels(image, make_spec(level=level))

    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_transparent_palette_colour_shows_the_background() -> None:
    """The transparent entry of a palette becomes the background."""
    image = Image.new("P", (4, 4), 0)
    image.putpalette([250, 250, 250])
    image.info["transparency"] = 0

    assert to_pixels(image, make_spec(level=0.2)).max() == 51


def test_cmyk_to_rgb() -> None:
    """Full cyan ink is cyan in RGB."""
    image = Image.new("CMYK", (4, 4), (255, 0, 0, 0))

    assert to_pixels(image, make_spec(3))[:, 0, 0].tolist() == [0, 255, 255]


def test_cmyk_to_grey() -> None:
    """No ink is white."""
    image = Image.new("CMYK", (4, 4), (0, 0, 0, 0))

    assert to_pixels(image, make_spec())[0, 0].tolist() == [255] * 4


def test_one_bit_image() -> None:
    """A 1-bit image has the values 0 and 255."""
    image = make_image(make_halves(0, 255)).convert("1")

    assert to_pixels(image, make_spec())[0, 0].tolist() == [0, 0, 255, 255]


def test_rgb_to_grey_uses_luma() -> None:
    """Grey is the ITU-R BT.601 luma of red, green and blue."""
    image = make_image([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]] * 4)

    assert to_pixels(image, make_spec())[0, 0].tolist() == [76, 150, 29, 255]


def test_grey_to_rgb() -> None:
    """A grey image has the same value in all three channels."""
    image = make_image(np.arange(16).reshape(4, 4))

    pixels = to_pixels(image, make_spec(3))

    assert (pixels == np.arange(16).reshape(4, 4)).all()


@pytest.mark.parametrize(
    ("resize", "corners"),
    [("pad", [51, 51]), ("crop", [0, 255]), ("stretch", [0, 255])],
)
def test_wide_image_is_resized(resize: str, corners: list[int]) -> None:
    """8 x 4 to 4 x 4: `pad` adds background above and below, `crop` and `stretch` fill."""
    wide = np.repeat([[0] * 4 + [255] * 4], 4, axis=0)

    pixels = to_pixels(make_image(wide), make_spec(resize=resize, level=0.2))[0]

    assert pixels[0, [0, 3]].tolist() == corners
    assert pixels[1, [0, 3]].tolist() == [0, 255]


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(4000, 1), (1, 4000), (1, 1), (3, 5)])
def test_any_aspect_ratio_is_accepted(resize: str, size: tuple[int, int]) -> None:
    """Even an image one pixel wide is resized."""
    image = Image.new("L", size, 200)

    pixels = to_pixels(image, make_spec(3, 4, 6, resize=resize))

    assert pixels.shape == (3, 4, 6)
    assert set(np.unique(pixels).tolist()) <= {0, *range(1, 201)}
    assert (pixels.max() == 200) or resize == "pad"


@pytest.mark.parametrize(
    ("invert", "border", "expected"),
    [
        ("false", 255, (255, 0)),
        ("true", 255, (0, 255)),
        ("true", 0, (255, 0)),
        ("auto", 255, (0, 255)),
        ("auto", 0, (0, 255)),
    ],
)
def test_inversion(invert: str, border: int, expected: tuple[int, int]) -> None:
    """`true` inverts every image, `auto` only an image with a light border."""
    pixels = np.full((4, 4), border)
    pixels[1:3, 1:3] = 255 - border

    inverted = to_pixels(make_image(pixels), make_spec(), invert)[0]

    assert (inverted[0, 0], inverted[1, 1]) == expected


def test_inversion_precedes_padding() -> None:
    """The background is the bundle's own: it is added after the inversion."""
    wide = Image.new("L", (4, 2), 255)

    pixels = to_pixels(wide, make_spec(level=0.2), "auto")[0]

    assert pixels[0].tolist() == [51] * 4
    assert pixels[1].tolist() == [0] * 4


@pytest.mark.parametrize(("level", "light"), [(0.0, False), (0.5, False), (0.51, True)])
def test_light_border_threshold(level: float, light: bool) -> None:
    """A border is light if the mean of its pixels is over one half."""
    image = np.full((3, 6, 5), level, np.float32)
    image[:, 1:-1, 1:-1] = 1 - level

    assert has_light_border(image) is light


@pytest.mark.parametrize("size", [(3000, 53), (53, 3000), (1, 5000), (5000, 1)])
def test_narrow_image_keeps_a_line(size: tuple[int, int]) -> None:
    """A white strip becomes a white line of one pixel, although its exact width is below one."""
    pixels = to_pixels(Image.new("L", size, 255), make_spec(1, 28, 28))[0]

    lines = pixels if size[1] < size[0] else pixels.T
    assert (lines == 255).all(axis=1).sum() == 1
    assert pixels.sum() == 28 * 255
