"""Digits on grey paper: real test images, the shipped classifier and `invert=auto`."""

from itertools import product

import pytest

from benchmarks.papers import Classifier, Digits, draw, open_classifier, read_digits
from tests.support.requirements import require_data

COUNT = 500


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Return the classifier of the shipped bundle."""
    return open_classifier()


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Return the first test images."""
    return read_digits(require_data(), COUNT)


@pytest.mark.parametrize(
    ("fall_off", "paper", "ink"), [*product([0.0, 0.2, 0.4], [160, 200, 255], [0, 80])]
)
def test_grey_paper(
    classifier: Classifier, digits: Digits, fall_off: float, paper: int, ink: int
) -> None:
    """At least 95 % of the digits are classified correctly on any paper, also in uneven light."""
    files = draw(digits.images, paper, ink, fall_off)

    assert classifier.measure(files, digits.labels, "auto") >= 95


@pytest.mark.parametrize(
    ("bundle", "dataset"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_clean_images_lose_nothing(bundle: str, dataset: str) -> None:
    """On the unchanged test set, `auto` costs at most 0.1 points."""
    classifier, images = open_classifier(bundle), read_digits(require_data(), dataset=dataset)
    files = draw(images.images, 0, 255)
    plain = classifier.measure(files, images.labels, "false")

    assert classifier.measure(files, images.labels, "auto") >= plain - 0.1
