"""The pixel rule, by value: every kind of picture becomes what a person would expect."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.pixels import has_light_border, to_pixels
from tests.support.image_files import save

ORIENTATION = 0x0112


def make_spec(
    channels: int = 1, height: int = 4, width: int = 4, resize: str = "pad", level: float = 0.0
) -> ImageSpec:
    """Return a bundle's rule."""
    return ImageSpec(
        channels=channels,
        height=height,
        width=width,
        resize=resize,
        background=(level,) * channels,
    )


def make_picture(rows: object, mode: str | None = None) -> Image.Image:
    """Return a picture of 8-bit values."""
    picture = Image.fromarray(np.array(rows, dtype=np.uint8))
    return picture.convert(mode) if mode else picture


def make_half(left: int, right: int, size: int = 4) -> NDArray[np.uint8]:
    """Return a square whose left half differs from its right."""
    return np.repeat([[left] * (size // 2) + [right] * (size // 2)], size, axis=0).astype(np.uint8)


def test_a_fitting_picture_is_taken_as_it_is() -> None:
    """A picture of the right size and mode keeps every pixel."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)

    assert np.array_equal(to_pixels(make_picture(pixels), make_spec())[0], pixels)


def test_sixteen_bits_are_scaled() -> None:
    """16-bit grey is scaled to 8 bits, where clipping would make nearly all of it white."""
    deep = np.array([[0, 257, 128 * 257, 65_535]] * 4, dtype=np.uint16)

    assert to_pixels(Image.fromarray(deep), make_spec())[0, 0].tolist() == [0, 1, 128, 255]


def test_a_palette_is_looked_up() -> None:
    """A palette picture gives its colours, not its indices."""
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])

    assert to_pixels(picture, make_spec(3))[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(("level", "expected"), [(0.0, 100), (1.0, 228)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_on_the_background(mode: str, level: float, expected: int) -> None:
    """Half-transparent 200 over black is 100, over white 228."""
    color = (200, 128) if mode == "LA" else (200, 200, 200, 128)
    picture = Image.new(mode, (4, 4), color)

    pixels = to_pixels(picture, make_spec(level=level))

    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_a_transparent_palette_colour_lies_on_the_background() -> None:
    """A palette's transparent entry shows the background."""
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([250, 250, 250])
    picture.info["transparency"] = 0

    assert to_pixels(picture, make_spec(level=0.2)).max() == 51


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_orientation_is_applied(form: str) -> None:
    """A file whose EXIF data say to turn it by a quarter is turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = save(make_picture(make_half(0, 255)), form, exif=exif)

    turned = to_pixels(Image.open(io.BytesIO(content)), make_spec())[0]

    assert turned[0].tolist() == [0] * 4
    assert turned[-1].tolist() == [255] * 4


def test_cmyk_becomes_colour() -> None:
    """A print picture of full cyan is cyan on the screen."""
    picture = Image.new("CMYK", (4, 4), (255, 0, 0, 0))

    assert to_pixels(picture, make_spec(3))[:, 0, 0].tolist() == [0, 255, 255]


def test_cmyk_becomes_grey() -> None:
    """A print picture of no ink is white."""
    picture = Image.new("CMYK", (4, 4), (0, 0, 0, 0))

    assert to_pixels(picture, make_spec())[0, 0].tolist() == [255] * 4


def test_one_bit_is_black_and_white() -> None:
    """A picture of one bit gives 0 and 255."""
    picture = make_picture(make_half(0, 255)).convert("1")

    assert to_pixels(picture, make_spec())[0, 0].tolist() == [0, 0, 255, 255]


def test_colour_becomes_grey_by_luma() -> None:
    """Red, green and blue weigh as the eye sees them (ITU-R BT.601)."""
    picture = make_picture([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]] * 4)

    assert to_pixels(picture, make_spec())[0, 0].tolist() == [76, 150, 29, 255]


def test_grey_becomes_colour() -> None:
    """A grey picture has the same value in all three channels."""
    picture = make_picture(np.arange(16).reshape(4, 4))

    pixels = to_pixels(picture, make_spec(3))

    assert (pixels == np.arange(16).reshape(4, 4)).all()


@pytest.mark.parametrize(
    ("resize", "corners"),
    [("pad", [51, 51]), ("crop", [0, 255]), ("stretch", [0, 255])],
)
def test_a_wide_picture_is_fitted(resize: str, corners: list[int]) -> None:
    """8 x 4 into 4 x 4: padding adds background above and below, the others fill."""
    wide = np.repeat([[0] * 4 + [255] * 4], 4, axis=0)

    pixels = to_pixels(make_picture(wide), make_spec(resize=resize, level=0.2))[0]

    assert pixels[0, [0, 3]].tolist() == corners
    assert pixels[1, [0, 3]].tolist() == [0, 255]


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(4000, 1), (1, 4000), (1, 1), (3, 5)])
def test_a_picture_of_any_proportion_is_taken(resize: str, size: tuple[int, int]) -> None:
    """Even a line of one pixel's width is fitted."""
    picture = Image.new("L", size, 200)

    pixels = to_pixels(picture, make_spec(3, 4, 6, resize=resize))

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
    """`true` turns every picture, `auto` only one that is light at its border."""
    pixels = np.full((4, 4), border)
    pixels[1:3, 1:3] = 255 - border

    inverted = to_pixels(make_picture(pixels), make_spec(), invert)[0]

    assert (inverted[0, 0], inverted[1, 1]) == expected


def test_inversion_comes_before_padding() -> None:
    """The background is the bundle's own: it is padded after the picture is turned."""
    wide = Image.new("L", (4, 2), 255)

    pixels = to_pixels(wide, make_spec(level=0.2), "auto")[0]

    assert pixels[0].tolist() == [51] * 4
    assert pixels[1].tolist() == [0] * 4


@pytest.mark.parametrize(("level", "light"), [(0.0, False), (0.5, False), (0.51, True)])
def test_a_border_is_light_over_one_half(level: float, light: bool) -> None:
    """The mean of the border decides; the inside does not count."""
    image = np.full((3, 6, 5), level, np.float32)
    image[:, 1:-1, 1:-1] = 1 - level

    assert has_light_border(image) is light
