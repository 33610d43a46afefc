"""Figures: what is in their pixels and their texts."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from training.report.plots import (
    History,
    draw_confusion,
    draw_histograms,
    draw_losses,
    draw_manifold,
    draw_mosaic,
    draw_path,
    draw_scatters,
    draw_sweeps,
    write_png,
)
from training.report.plots.mosaics import lay_out
from training.report.plots.style import PALETTE, colour_of, marker_of

LEAST_POINTS = 8
GENERATOR = np.random.default_rng(0)
PLACES = GENERATOR.standard_normal((120, 2)).astype(np.float32)
LABELS = np.arange(120) % 12
CLASSES = tuple(f"class {index}" for index in range(12))


def list_texts(figure: Figure) -> list[str]:
    """Return what is written in a figure, and check that each text can be read."""
    figure.canvas.draw()
    found = figure.findobj(Text)
    shown = [text for text in found if text.get_visible() and text.get_text().strip()]
    assert all(text.get_fontsize() >= LEAST_POINTS for text in shown)
    return [text.get_text() for text in shown]


def read_pixels(figure: Figure) -> np.ndarray:
    """Return a figure's pixels, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(write_png(figure))).convert("RGB"))


def test_a_mosaic_keeps_every_pixel() -> None:
    """Each image's pixel is a square of its grey, images stand in their places, gaps are white."""
    images = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 1, 2, 2) / 24

    picture = lay_out(images, scale=5, gap=3)

    assert picture.shape == (2 * 10 + 3, 3 * 10 + 2 * 3)
    for row, column in np.ndindex(2, 3):
        tile = picture[row * 13 : row * 13 + 10, column * 13 : column * 13 + 10]
        assert np.array_equal(tile[::5, ::5], images[row, column, 0])
        assert np.array_equal(tile, images[row, column, 0].repeat(5, 0).repeat(5, 1))
    assert (picture[10:13] == 1).all()
    assert (picture[:, 10:13] == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_drawn_mosaic_has_the_images_greys_and_labels(channels: int) -> None:
    """The file holds large squares of the images' own colours, on white, with all labels."""
    images = np.full((2, 5, channels, 8, 8), 0.2, np.float32)
    images[1] = 0.6

    figure = draw_mosaic(images, ["above", "below"], list("abcde"), [f"{i}\n0.01" for i in "vwxyz"])

    assert set(list_texts(figure)) >= {"above", "below", *"abcde", "v\n0.01"}
    pixels = read_pixels(figure)
    assert (pixels[0, 0] == 255).all()
    side = 120 // 8 * 8
    for level in (51, 153):
        assert (np.abs(pixels.astype(int) - level).max(axis=2) <= 1).sum() == 5 * side**2


def test_losses_that_fall_far_are_logarithmic() -> None:
    """A loss that falls by over five times is drawn on a logarithmic scale, unless negative."""
    histories = {
        "far": History({"training": [1.0, 0.1], "validation": [1.0, 0.2]}, 2),
        "near": History({"training": [1.0, 0.5], "validation": [1.0, 0.6]}, 1),
        "negative": History({"generator": [1.0, -9.0], "discriminator": [2.0, 0.1]}, None),
    }

    figure = draw_losses(histories)

    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    texts = list_texts(figure)
    assert {"far", "near", "negative", "validation", "kept: epoch 2", "generator"} <= set(texts)


def test_a_confusion_matrix_names_classes_and_shares() -> None:
    """Each share is written in percent; what rounds to nothing is left out."""
    shares = np.array([[0.75, 0.246, 0.004], [0, 1, 0], [0, 0.5, 0.5]])

    texts = list_texts(draw_confusion(shares, ("shoe", "bag", "coat")))

    assert {"shoe", "bag", "coat", "75", "25", "100", "50"} <= set(texts)
    assert "0" not in texts


def test_sweeps_start_at_no_error() -> None:
    """Each sweep has its panel, each network its line, and errors are shown from 0."""
    sweeps = {
        "noise": ([0.0, 0.5, 1.0], {"one": [0.1, 0.2, 0.3], "other": [0.2, 0.2, 0.2]}),
        "side": ([0, 1, 2], {"one": [0.1, 0.2, 0.3]}),
    }

    figure = draw_sweeps(sweeps)

    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert all(axes.get_ylim()[0] == 0 for axes in figure.axes)
    assert {"noise", "side", "one", "other"} <= set(list_texts(figure))


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_histograms_show_up_to_sixteen_dimensions(size: int) -> None:
    """One panel a dimension, from a code of one number to more than can be shown."""
    codes = GENERATOR.standard_normal((200, size)).astype(np.float32)

    texts = list_texts(draw_histograms(codes, codes))

    assert sum(text.startswith("dimension") for text in texts) == min(size, 16)
    assert {"codes", "draws"} <= set(texts)


def test_scatters_name_and_tell_apart_more_classes_than_colours() -> None:
    """Twelve classes have twelve looks, all in the legend."""
    figure = draw_scatters({"left": (PLACES, LABELS), "right": (PLACES, LABELS)}, CLASSES)

    texts = list_texts(figure)
    assert {"left", "right", *CLASSES} <= set(texts)
    looks = {(colour_of(index), marker_of(index)) for index in range(len(CLASSES))}
    assert len(looks) == len(CLASSES)
    assert len(set(PALETTE)) == 10


def test_images_without_classes_are_drawn_too() -> None:
    """Without classes there is one colour and no legend; panels may share their scale."""
    wide = {"left": (PLACES, None), "right": (3 * PLACES, None)}

    figure = draw_scatters(wide, None, shared=True)

    assert set(list_texts(figure)) == {"left", "right"}
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()


def test_a_manifold_shows_its_place() -> None:
    """The axes tell where in the plane a decoded point lies."""
    images = GENERATOR.random((4, 4, 1, 8, 8), np.float32)

    figure = draw_manifold(images, (-2.0, 2.0, -1.0, 5.0), "across", "up")

    (axes,) = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2, 2), (-1, 5))
    assert {"across", "up"} <= set(list_texts(figure))


def test_a_path_numbers_its_points() -> None:
    """Every second star has its number."""
    points = np.linspace([-1, -1], [1, 1], 5).astype(np.float32)

    texts = list_texts(draw_path(PLACES, LABELS, points, CLASSES))

    assert {"1", "3", "5"} <= set(texts)
    assert CLASSES[0] in texts


def test_a_file_keeps_the_colours_of_classes() -> None:
    """What the legend shows is what the dots show: fewer colours do not shift the palette."""
    pixels = read_pixels(draw_scatters({"one": (PLACES, LABELS)}, CLASSES)).reshape(-1, 3)

    for index in range(len(CLASSES)):
        wanted = [int(colour_of(index)[start : start + 2], 16) for start in (1, 3, 5)]
        assert np.abs(pixels.astype(int) - wanted).max(axis=1).min() <= 8, colour_of(index)
