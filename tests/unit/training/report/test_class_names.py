"""Class names in plots."""

import warnings

import numpy as np
import pytest

from training.report.plots.class_names import fit_class_names, use_fonts
from training.report.plots.curves import draw_confusion
from training.report.plots.style import write_png

# Egyptian hieroglyphs, Linear A, Sinhala, Yi, Arabic, Greek and an emoji.
SCRIPTS = (
    "\U00013000",
    "\U00010600",
    "\u0d85",
    "\ua000",
    "\u0642\u0637\u0629",
    "\u03b5",
    "\U0001f600",
)


def test_short_latin_names_are_unchanged() -> None:
    """Most data sets have such names."""
    assert fit_class_names(("cat", "T-shirt/top", "\u00e9t\u00e9")) == (
        "cat",
        "T-shirt/top",
        "\u00e9t\u00e9",
    )


def test_long_names_are_shortened_and_stay_different() -> None:
    """Two equal starts get the index of the class."""
    names = fit_class_names(("x" * 30, "y" * 30 + "1", "y" * 30 + "2", "z" * 20))

    assert names == ("x" * 19 + "\u2026", "y" * 15 + "\u2026 #1", "y" * 15 + "\u2026 #2", "z" * 20)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_drawn_without_missing_letters(name: str) -> None:
    """A name that no installed font can draw becomes its index."""
    names = fit_class_names(("cat", name))

    assert names[1] in {name, "#1"}
    with use_fonts((name,)), warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns about each missing letter
        write_png(draw_confusion(np.eye(2), names))


def test_long_names_fit_into_the_confusion_matrix() -> None:
    """The image of many long names has a bounded size, with its labels inside."""
    figure = draw_confusion(np.eye(12), fit_class_names([f"{n} {'long ' * 40}" for n in range(12)]))

    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert min(box.x0 for box in boxes) >= 0
    assert figure.get_figwidth() < 9


def test_a_thousand_classes_have_no_labels() -> None:
    """The plot would have 66,000 pixels a side."""
    figure = draw_confusion(np.eye(1000), [str(index) for index in range(1000)])

    assert figure.get_figwidth() < 25
    assert not figure.axes[0].texts
