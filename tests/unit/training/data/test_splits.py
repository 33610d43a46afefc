"""Splits: seeded, stratified, disjoint; and the digest over them."""

import numpy as np
import pytest

from service.artifact import ImageSpec
from training.data.splits import LabelledImages, Splits, check_count, hold_out
from training.errors import DataError

IMAGE = ImageSpec(channels=1, height=4, width=4)


def make_images(count: int, seed: int) -> LabelledImages:
    """Return random images with labels 0 and 1."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count) % 2)


def make_splits(test: LabelledImages) -> Splits:
    """Return splits that differ in their test images only."""
    return Splits("some", IMAGE, ("a", "b"), make_images(20, 1), make_images(5, 2), test)


def test_every_image_is_kept_or_held_out() -> None:
    """The two parts are disjoint and together whole."""
    kept, held = hold_out(50, None, 0.2, 0, "test")

    assert len(held) == 10
    assert sorted([*kept, *held]) == list(range(50))


def test_the_seed_and_the_purpose_decide_the_split() -> None:
    """The same seed repeats it; another seed or purpose is another split."""
    first, again, other, validation = (
        hold_out(50, None, 0.2, seed, purpose)[1].tolist()
        for seed, purpose in ((0, "test"), (0, "test"), (1, "test"), (0, "validation"))
    )

    assert first == again
    assert first not in (other, validation)


def test_each_class_is_held_out_in_its_share() -> None:
    """90 of one class and 10 of another: the split keeps nine to one."""
    labels = np.array([0] * 90 + [1] * 10)

    _, held = hold_out(100, labels, 0.2, 0, "test")

    assert np.bincount(labels[held]).tolist() == [18, 2]


def test_at_least_one_image_of_each_class_is_held_out() -> None:
    """A small share of few images still has every class."""
    labels = np.repeat(np.arange(6), 5)

    _, held = hold_out(30, labels, 0.05, 0, "validation")

    assert set(labels[held]) == set(range(6))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros(19, int), "19 images are too few"), (np.array([0] * 20 + [1] * 4), "a class has 4")],
)
def test_sets_that_cannot_be_divided_are_refused(labels: np.ndarray, message: str) -> None:
    """Too few at all, or of one class."""
    with pytest.raises(DataError, match=message):
        check_count(len(labels), labels)


def test_taking_images_takes_their_labels() -> None:
    """Pixels and labels stay together."""
    images = make_images(10, 0)

    taken = images.take(np.array([3, 4]))

    assert np.array_equal(taken.pixels, images.pixels[3:5])
    assert taken.labels is not None
    assert taken.labels.tolist() == [1, 0]


def test_the_digest_pins_every_pixel_and_label() -> None:
    """One changed pixel or label anywhere is another data set."""
    test = make_images(6, 3)
    brighter, relabelled = test.pixels.copy(), test.labels.copy()
    brighter[5, 0, 3, 3] ^= 1
    relabelled[0] ^= 1

    digests = {
        make_splits(other).digest()
        for other in (
            test,
            make_images(6, 3),
            LabelledImages(brighter, test.labels),
            LabelledImages(test.pixels, relabelled),
        )
    }

    assert len(digests) == 3
