"""The image format that is inferred from a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.support.written_images import COLOUR, GREY, make_image, read, write_image, write_images
from training.data.splits import Splits
from training.errors import DataError


def find_note(splits: Splits, start: str) -> str:
    """Return the line of the summary with a start, or an empty text."""
    return next((note for note in splits.notes if note.startswith(start)), "")


def draw_icons(folder: Path, mode: str, canvas: object, ink: object, count: int = 20) -> Path:
    """Write icons of different widths with a disk at a random place."""
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.new(mode, (40 + number % 3 * 10, 40), canvas)
        box = (8 + number % 7, 8 + number // 7, 24 + number % 5, 24 + number // 5)
        ImageDraw.Draw(image).ellipse(box, fill=ink)
        image.save(folder / f"{number:02}.png")
    return folder


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((12, 10), (10, 12)),
        ((72, 72), (72, 72)),
        ((100, 75), (75, 100)),
        ((200, 100), (64, 128)),
        ((400, 300), (96, 128)),
        ((900, 10), (8, 128)),
        ((5, 6), (8, 8)),
    ],
)
def test_the_size_is_the_median_within_bounds(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    """At most 128 pixels a side, with the median's aspect ratio, in steps of 8 if reduced."""
    folder = write_images(tmp_path / "set", 20, size=size)
    write_image(folder / "odd.png", COLOUR, (30, 60))

    assert read(folder).image.shape[1:] == shape


def test_the_recipe_takes_precedence_over_the_images(tmp_path: Path) -> None:
    """Size, channels, resize rule and background can all be set."""
    splits = read(
        write_images(tmp_path / "set", 20),
        channels=1,
        height=16,
        width=256,
        resize="stretch",
        background=(0.5,),
    )

    assert splits.image.shape == (1, 16, 256)
    assert splits.image.resize == "stretch"
    assert splits.image.background == (0.5,)


def test_the_largest_inferred_side_can_be_set(tmp_path: Path) -> None:
    """A smaller side trains faster."""
    assert read(write_images(tmp_path / "set", 20, size=(80, 60)), max_side=40).image.shape == (
        *(3, 32, 40),
    )


def test_a_background_with_a_wrong_number_of_channels_is_rejected(tmp_path: Path) -> None:
    """The error names the key."""
    with pytest.raises(DataError, match=r"data\.background: expected 3 values.*got 1"):
        read(write_images(tmp_path / "set", 20), background=(0.5,))


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    """A folder without colour gives one channel and a background of one value."""
    splits = read(write_images(tmp_path / "set", 20, GREY))

    assert splits.image.channels == len(splits.image.background) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_grey_images_stored_in_colour_have_one_channel(tmp_path: Path, suffix: str) -> None:
    """Scanners store grey as RGB, with a trace of colour."""
    (tmp_path / "set").mkdir()
    for number in range(20):
        grey = np.asarray(make_image(str(number), GREY, (40, 30))).astype(int)
        tinted = np.stack([grey, grey, grey + 3], axis=-1).clip(0, 255).astype(np.uint8)
        Image.fromarray(tinted).save(tmp_path / "set" / f"{number}{suffix}")

    assert read(tmp_path / "set").image.channels == 1


def test_one_colour_image_among_grey_ones_is_named(tmp_path: Path) -> None:
    """It is read as grey, and the summary says how to keep the colour."""
    folder = write_images(tmp_path / "set", 150, GREY)
    write_image(folder / "rainbow.png", COLOUR)

    splits = read(folder)

    assert splits.image.channels == 1
    note = find_note(splits, "images: ")
    assert "one image is in colour and read as grey (rainbow.png; --channels 3" in note


def test_several_colour_images_give_three_channels(tmp_path: Path) -> None:
    """More than one in a hundred."""
    folder = write_images(tmp_path / "set", 40, GREY)
    write_image(folder / "last.png", COLOUR)

    assert read(folder).image.channels == 3


def test_photographs_of_other_aspect_ratios_are_cropped(tmp_path: Path) -> None:
    """No black bars: they would be learned. The summary says how much is lost."""
    folder = write_images(tmp_path / "set", 20, size=(40, 30))
    write_images(folder / "more", 10, size=(30, 30))

    splits = read(folder, classes=False)

    assert splits.image.resize == "crop"
    assert find_note(splits, "fit: ") == (
        "fit: 33 % of the images have another aspect ratio; they are cropped at the centre, which "
        "cuts off 8 % on average"
    )


@pytest.mark.parametrize("paper", [(255, 255, 255), (0, 0, 0), (200, 30, 30)])
def test_images_on_a_plain_background_are_padded_with_it(
    tmp_path: Path, paper: tuple[int, int, int]
) -> None:
    """Cutting would lose a part of the object, and the background continues seamlessly."""
    splits = read(draw_icons(tmp_path / "set", "RGB", paper, (30, 200, 90)))

    assert splits.image.resize == "pad"
    assert splits.image.background == tuple(round(level / 255, 4) for level in paper)
    corners = splits.train.pixels[:, :, 0, 0].T
    assert (corners == np.array(paper)[:, None]).all()


@pytest.mark.parametrize(
    ("ink", "level"),
    [((20, 20, 20, 255), 1.0), ((90, 160, 30, 255), 1.0), ((250, 250, 250, 255), 0.0)],
)
def test_transparent_icons_have_a_background_that_shows_them(
    tmp_path: Path, ink: tuple[int, ...], level: float
) -> None:
    """White, as on most pages; black under white ink."""
    splits = read(draw_icons(tmp_path / "set", "RGBA", (0, 0, 0, 0), ink))

    assert set(splits.image.background) == {level}
    assert splits.image.resize == "pad"
    assert splits.train.pixels.astype(int).std(axis=(1, 2, 3)).min() > 10


@pytest.mark.parametrize(
    ("low", "high", "suffix"), [(0, 1023, ".png"), (0, 4095, ".tif"), (28_000, 32_000, ".png")]
)
def test_levels_of_16_bit_files_are_learned(
    tmp_path: Path, low: int, high: int, suffix: str
) -> None:
    """10 and 12 bits, and a part of the range, become black to white."""
    (tmp_path / "set").mkdir()
    for number in range(20):
        values = np.random.default_rng(number).integers(low, high + 1, (30, 30))
        values[number, number] = 65_535 if number == 3 else high  # one defective pixel
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / "set" / f"{number}{suffix}")

    splits = read(tmp_path / "set")

    assert splits.image.levels == pytest.approx((low, high), abs=(high - low) * 0.02)
    assert splits.train.pixels.min() < 4
    assert splits.train.pixels.max() > 251
    assert find_note(splits, "levels: 16-bit images use ")


def test_the_whole_range_of_16_bits_stays(tmp_path: Path) -> None:
    """The manifest names no levels then."""
    (tmp_path / "set").mkdir()
    for number in range(20):
        values = np.random.default_rng(number).integers(0, 65_536, (30, 30))
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / "set" / f"{number}.png")

    assert read(tmp_path / "set").image.levels is None


def test_portrait_photos_of_phones_are_upright(tmp_path: Path) -> None:
    """Phones store them lying, with an EXIF orientation."""
    (tmp_path / "set").mkdir()
    exif = Image.Exif()
    exif[0x112] = 6
    for number in range(20):
        image = make_image(str(number), COLOUR, (60, 90))
        image.paste((255, 0, 0), (0, 0, 60, 30))  # the sky is red
        lying = image.transpose(Image.Transpose.ROTATE_90)
        lying.save(tmp_path / "set" / f"{number}.jpg", exif=exif, quality=95)

    splits = read(tmp_path / "set")

    assert splits.image.shape == (3, 90, 60)
    sky = splits.train.pixels[:, :, 5:25].mean(axis=(0, 2, 3))
    assert sky == pytest.approx((254, 0, 0), abs=12)


def test_large_photos_equal_carefully_reduced_ones(tmp_path: Path) -> None:
    """JPEG files are decoded with fewer pixels, which hardly changes the result."""
    (tmp_path / "set").mkdir()
    expected = []
    for number in range(20):
        image = make_image(str(number), COLOUR, (8, 6)).resize((1600, 1200))
        image.save(tmp_path / "set" / f"{number:02}.jpg", quality=92)
        expected.append(np.asarray(image.resize((128, 96), Image.Resampling.BILINEAR)))

    splits = read(tmp_path / "set")

    parts = (splits.train, splits.validation, splits.test)
    pixels = np.concatenate([part.pixels for part in parts]).transpose(0, 2, 3, 1).astype(int)
    errors = [min(np.abs(image - other).mean() for other in pixels) for image in expected]
    assert max(errors) < 1.5
