"""Splits: seeded, stratified and disjoint; and their digest."""

import numpy as np

from service.artifact import ImageSpec
from training.data.splits import LabelledImages, Splits, hold_out

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
    """The two parts are disjoint, and their union is the whole set."""
    kept, held = hold_out(50, None, 0.2, 0, "test")

    assert len(held) == 10
    assert sorted([*kept, *held]) == list(range(50))


def test_the_split_depends_on_seed_and_purpose() -> None:
    """The same arguments repeat it; another seed or purpose changes it."""
    first, again, other, validation = (
        hold_out(50, None, 0.2, seed, purpose)[1].tolist()
        for seed, purpose in ((0, "test"), (0, "test"), (1, "test"), (0, "validation"))
    )

    assert first == again
    assert first not in (other, validation)


def test_the_split_is_stratified() -> None:
    """Classes with 90 and 10 images keep their ratio of nine to one."""
    labels = np.array([0] * 90 + [1] * 10)

    _, held = hold_out(100, labels, 0.2, 0, "test")

    assert np.bincount(labels[held]).tolist() == [18, 2]


def test_at_least_one_image_of_each_class_is_held_out() -> None:
    """A small share of a small set still contains every class."""
    labels = np.repeat(np.arange(6), 5)

    _, held = hold_out(30, labels, 0.05, 0, "validation")

    assert set(labels[held]) == set(range(6))


def test_tiny_classes_stay_in_the_training_split() -> None:
    """A class with one or two images cannot be in three splits."""
    labels = np.array([0] * 20 + [1] + [2] * 2)

    kept, held = hold_out(23, labels, 0.2, 0, "test")

    assert set(labels[held]) == {0}
    assert {20, 21, 22} <= set(kept)


def test_images_of_tiny_classes_are_held_out_if_there_are_no_others() -> None:
    """Then a class may be missing from a split."""
    kept, held = hold_out(30, np.repeat(np.arange(15), 2), 0.2, 0, "test")

    assert (len(kept), len(held)) == (24, 6)


def test_a_subset_has_its_labels() -> None:
    """`take` selects pixels and labels at the same indices."""
    images = make_images(10, 0)

    subset = images.take(np.array([3, 4]))

    assert np.array_equal(subset.pixels, images.pixels[3:5])
    assert subset.labels is not None
    assert subset.labels.tolist() == [1, 0]


def test_the_digest_covers_every_pixel_and_label() -> None:
    """A single changed pixel or label changes it."""
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
