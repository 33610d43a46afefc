"""Plots: their pixels and their texts."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from training.report.plots.curves import (
    History,
    draw_confusion,
    draw_histograms,
    draw_losses,
    draw_sweeps,
)
from training.report.plots.image_grids import draw_image_grid, tile_images
from training.report.plots.latent_spaces import draw_manifold, draw_path, draw_scatters
from training.report.plots.style import PALETTE, colour_of, marker_of, write_png

MIN_FONT_SIZE = 8
GENERATOR = np.random.default_rng(0)
POINTS = GENERATOR.standard_normal((120, 2)).astype(np.float32)
LABELS = np.arange(120) % 12
CLASSES = tuple(f"class {index}" for index in range(12))


def list_texts(figure: Figure) -> list[str]:
    """Return the visible texts of a figure, and check their font sizes."""
    figure.canvas.draw()
    texts = figure.findobj(Text)
    visible = [text for text in texts if text.get_visible() and text.get_text().strip()]
    assert all(text.get_fontsize() >= MIN_FONT_SIZE for text in visible)
    return [text.get_text() for text in visible]


def read_pixels(figure: Figure) -> np.ndarray:
    """Return a figure's pixels, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(write_png(figure))).convert("RGB"))


def test_tiled_images_keep_every_pixel() -> None:
    """Each pixel becomes a square of its grey level, and gaps are white."""
    images = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 1, 2, 2) / 24

    tiled = tile_images(images, scale=5, gap=3)

    assert tiled.shape == (2 * 10 + 3, 3 * 10 + 2 * 3)
    for row, column in np.ndindex(2, 3):
        tile = tiled[row * 13 : row * 13 + 10, column * 13 : column * 13 + 10]
        assert np.array_equal(tile[::5, ::5], images[row, column, 0])
        assert np.array_equal(tile, images[row, column, 0].repeat(5, 0).repeat(5, 1))
    assert (tiled[10:13] == 1).all()
    assert (tiled[:, 10:13] == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_grid_has_exact_colours_and_labels(channels: int) -> None:
    """The file has squares with the colours of the images on white, and all labels."""
    images = np.full((2, 5, channels, 8, 8), 0.2, np.float32)
    images[1] = 0.6

    figure = draw_image_grid(
        images, ["above", "below"], list("abcde"), [f"{i}\n0.01" for i in "vwxyz"]
    )

    assert set(list_texts(figure)) >= {"above", "below", *"abcde", "v\n0.01"}
    pixels = read_pixels(figure)
    assert (pixels[0, 0] == 255).all()
    side = 120 // 8 * 8
    for level in (51, 153):
        assert (np.abs(pixels.astype(int) - level).max(axis=2) <= 1).sum() == 5 * side**2


def test_losses_with_a_large_range_are_logarithmic() -> None:
    """Positive losses that fall by a factor of more than five have a logarithmic scale."""
    histories = {
        "far": History({"training": [1.0, 0.1], "validation": [1.0, 0.2]}, 2),
        "near": History({"training": [1.0, 0.5], "validation": [1.0, 0.6]}, 1),
        "negative": History({"generator": [1.0, -9.0], "discriminator": [2.0, 0.1]}, None),
    }

    figure = draw_losses(histories)

    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    texts = list_texts(figure)
    assert {"far", "near", "negative", "validation", "kept: epoch 2", "generator"} <= set(texts)


def test_a_confusion_matrix_has_classes_and_shares() -> None:
    """Shares are in percent; those that round to 0 are omitted."""
    shares = np.array([[0.75, 0.246, 0.004], [0, 1, 0], [0, 0.5, 0.5]])

    texts = list_texts(draw_confusion(shares, ("shoe", "bag", "coat")))

    assert {"shoe", "bag", "coat", "75", "25", "100", "50"} <= set(texts)
    assert "0" not in texts


def test_sweeps_start_at_an_error_of_0() -> None:
    """Each sweep has a panel, and each network has a line."""
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
    """There is one panel per dimension, up to the limit."""
    latents = GENERATOR.standard_normal((200, size)).astype(np.float32)

    texts = list_texts(draw_histograms(latents, latents))

    assert sum(text.startswith("dimension") for text in texts) == min(size, 16)
    assert {"latents", "draws"} <= set(texts)


def test_more_classes_than_colours_are_distinct() -> None:
    """Twelve classes have twelve combinations of colour and marker, all in the legend."""
    figure = draw_scatters({"left": (POINTS, LABELS), "right": (POINTS, LABELS)}, CLASSES)

    texts = list_texts(figure)
    assert {"left", "right", *CLASSES} <= set(texts)
    styles = {(colour_of(index), marker_of(index)) for index in range(len(CLASSES))}
    assert len(styles) == len(CLASSES)
    assert len(set(PALETTE)) == 10


def test_points_without_classes_have_one_colour() -> None:
    """The legend is omitted, and panels can share their scale."""
    wide = {"left": (POINTS, None), "right": (3 * POINTS, None)}

    figure = draw_scatters(wide, None, shared=True)

    assert set(list_texts(figure)) == {"left", "right"}
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()


def test_the_axes_of_a_manifold_have_the_extent_of_the_plane() -> None:
    """Ticks and labels locate a decoded point in the plane."""
    images = GENERATOR.random((4, 4, 1, 8, 8), np.float32)

    figure = draw_manifold(images, (-2.0, 2.0, -1.0, 5.0), "horizontal", "vertical")

    (axes,) = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2, 2), (-1, 5))
    assert {"horizontal", "vertical"} <= set(list_texts(figure))


def test_a_path_numbers_its_points() -> None:
    """Every second point has its number."""
    points = np.linspace([-1, -1], [1, 1], 5).astype(np.float32)

    texts = list_texts(draw_path(POINTS, LABELS, points, CLASSES))

    assert {"1", "3", "5"} <= set(texts)
    assert CLASSES[0] in texts


def test_a_file_keeps_the_colours_of_classes() -> None:
    """The reduced palette contains each class colour."""
    pixels = read_pixels(draw_scatters({"one": (POINTS, LABELS)}, CLASSES)).reshape(-1, 3)

    for index in range(len(CLASSES)):
        expected = [int(colour_of(index)[start : start + 2], 16) for start in (1, 3, 5)]
        assert np.abs(pixels.astype(int) - expected).max(axis=1).min() <= 8, colour_of(index)
