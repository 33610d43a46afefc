"""Splits and classes from folder names."""

from collections.abc import Iterable

import pytest

from training.data.sources.layout import Layout, find_layout


def make_names(**folders: int) -> list[str]:
    """Return names in folders; `a__b=2` gives a/b/0.png and a/b/1.png."""
    return [
        f"{folder.replace('__', '/').removeprefix('_').removesuffix('_')}/{number}.png".lstrip("/")
        for folder, count in folders.items()
        for number in range(count)
    ]


def list_classes(layout: Layout) -> list[str]:
    """Return the classes of the used images."""
    pairs = zip(layout.labels, layout.is_used, strict=True)
    return sorted({label for label, used in pairs if used and label is not None})


def list_parts(layout: Layout, labels: Iterable[str | None] | None = None) -> set[object]:
    """Return the splits of the used images."""
    pairs = zip(labels or layout.parts, layout.is_used, strict=True)
    return {part for part, used in pairs if used}


@pytest.mark.parametrize("prefix", ["", "archive__data__images__", "images.zip__", "train__"])
def test_outer_folders_are_ignored(prefix: str) -> None:
    """Archives wrap their content in folders, and a lone split is no class."""
    names = make_names(**{f"{prefix}cat": 5, f"{prefix}dog": 5})

    assert list_classes(find_layout(names)) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("TRAIN", "Testing"), ("training_set", "test_set"), ("Train", "VALID")],
)
def test_split_folders_have_any_case(train: str, test: str) -> None:
    """The classes are below them."""
    names = [f"{part}/{name}/{n}.png" for part in (train, test) for name in "ab" for n in range(5)]

    layout = find_layout(names)

    assert list_classes(layout) == ["a", "b"]
    assert list_parts(layout) == {"train", "validation" if test == "VALID" else "test"}


def test_split_folders_may_be_below_the_classes() -> None:
    """<class>/train/* is read as train/<class>/*."""
    names = [
        f"{name}/{part}/{n}.png"
        for part in ("train", "val", "test")
        for name in "ab"
        for n in range(5)
    ]

    layout = find_layout(names)

    assert list_classes(layout) == ["a", "b"]
    assert list_parts(layout) == {"train", "validation", "test"}


def test_a_repeated_split_folder_is_no_class() -> None:
    """Some archives contain seg_train/seg_train/<class>."""
    names = [
        f"seg_{part}/seg_{part}/{name}/{n}.png"
        for part in ("train", "test")
        for name in "ab"
        for n in range(5)
    ]

    assert list_classes(find_layout(names)) == ["a", "b"]


def test_a_class_called_test_is_a_class() -> None:
    """Without a training folder beside it, it is no split."""
    layout = find_layout(make_names(test=5, other=5))

    assert list_classes(layout) == ["other", "test"]
    assert list_parts(layout) == {None}


def test_the_first_level_of_folders_are_the_classes() -> None:
    """Deeper folders are joined, and the summary says so."""
    layout = find_layout(make_names(dog__beagle=5, dog__pug=5, cat__siamese=5, cat=2))

    assert list_classes(layout) == ["cat", "dog"]
    assert any("first level of folders" in note for note in layout.notes)


def test_images_beside_class_folders_are_ignored() -> None:
    """A cover image has no class."""
    layout = find_layout(["cover.png", *make_names(a=5, b=5)])

    assert layout.is_used == [False] + [True] * 10
    assert layout.ignored == {"images without a class": 1}


def test_mostly_flat_folders_have_no_classes() -> None:
    """A few sub-folders do not make 50 other images useless."""
    layout = find_layout([*(f"{n}.png" for n in range(50)), *make_names(a=5, b=5)])

    assert all(layout.is_used)
    assert list_classes(layout) == []
    assert layout.notes == ["no classes: most images are in no sub-folder"]


def test_a_folder_for_each_image_gives_no_classes() -> None:
    """Such as <person>/portrait.png."""
    layout = find_layout([f"person{n}/portrait.png" for n in range(30)])

    assert list_classes(layout) == []
    assert all(layout.is_used)
    assert "no classes: most of the 30 folders have at most 2 images" in layout.notes


def test_folders_beside_images_are_ignored() -> None:
    """Masks are no class."""
    layout = find_layout(make_names(set__images=10, set__masks=10, set__edges=10))

    assert sum(layout.is_used) == 10
    assert layout.ignored == {"images beside the folder images": 20}


def test_a_test_class_without_training_images_is_ignored() -> None:
    """The summary names the class."""
    names = make_names(train__a=5, train__b=5, test__a=2, test__zebra=3)

    layout = find_layout(names)

    assert list_classes(layout) == ["a", "b"]
    assert layout.ignored == {"images of classes without training images (zebra)": 3}


def test_unlabelled_test_images_are_ignored() -> None:
    """A competition's test folder has no classes."""
    layout = find_layout(make_names(train__a=5, train__b=5, test=7))

    assert layout.ignored == {"images without a class": 7}
    assert list_parts(layout) == {"train"}


def test_folders_beside_the_splits_are_ignored() -> None:
    """They may be anything."""
    layout = find_layout(make_names(train__a=5, train__b=5, test__a=5, ground_truth__a=5))

    assert layout.ignored == {"images outside the split folders": 5}


def test_defects_are_apart() -> None:
    """MVTec: one training class, and other folders in test."""
    layout = find_layout(
        make_names(train__good=9, test__good=3, test__crack=2, ground_truth__crack=2)
    )

    assert list_classes(layout) == []
    assert [kind for kind in layout.defects if kind] == ["crack"] * 2
    assert sum(layout.is_used) == 12


def test_several_products_are_classes() -> None:
    """<product>/train/good and <product>/test/<defect>."""
    layout = find_layout(
        make_names(
            bottle__train__good=9, bottle__test__crack=2, cable__train__good=9, cable__test__good=2
        )
    )

    assert list_classes(layout) == ["bottle", "cable"]
    assert [kind for kind in layout.defects if kind] == ["crack"] * 2


def test_names_of_classes_are_valid_text() -> None:
    """Bytes that are not UTF-8 and control characters could not be written into a manifest."""
    layout = find_layout(make_names(**{"a\udcff": 5, "b\n": 5, "e\u0301": 5}))

    assert list_classes(layout) == ["a\ufffd", "b\ufffd", "\u00e9"]
