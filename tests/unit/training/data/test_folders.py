"""Folders of images: sizes, splits, skipped files, and refusals that say what to do."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.artifact.image_files import open_image
from service.artifact.pixels import to_pixels
from tests.support.written_images import GREY, read, write_image, write_images
from training.data.reading import pixel_stores
from training.data.splits import Splits
from training.errors import DataError


def join_notes(splits: Splits) -> str:
    """Return the summary as one text."""
    return "\n".join(splits.notes)


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    """The sorted folder names are the classes, and each split is stratified."""
    for name in ("cat", "ant", "bee"):
        write_images(tmp_path / "set" / name)

    splits = read(tmp_path / "set")

    assert splits.dataset == "set"
    assert splits.classes == ("ant", "bee", "cat")
    assert splits.count() == {"train": 46, "validation": 5, "test": 9}
    assert splits.test.labels is not None
    assert np.bincount(splits.test.labels).tolist() == [3, 3, 3]
    assert splits.train.pixels.shape[1:] == splits.image.shape == (3, 10, 12)


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    """Images directly in the folder are unlabelled."""
    splits = read(write_images(tmp_path / "set"))

    assert splits.classes is None
    assert splits.train.labels is None
    assert splits.count() == {"train": 15, "validation": 2, "test": 3}


def test_a_test_folder_is_the_test_split(tmp_path: Path) -> None:
    """With train and test folders, the test split contains no image of train."""
    for part, count in (("train", 20), ("test", 4)):
        for name in ("a", "b"):
            write_images(tmp_path / "set" / part / name, count)

    splits = read(tmp_path / "set")

    assert splits.count() == {"train": 36, "validation": 4, "test": 8}
    assert splits.classes == ("a", "b")


def test_labels_follow_their_pixels_in_every_split(tmp_path: Path) -> None:
    """Unreadable files and copies in between shift no label."""
    for name, level in (("dark", 0), ("light", 200)):
        for number in range(20):
            path = tmp_path / "set" / name / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((8, 8), level + 2 * number, np.uint8)
            Image.fromarray(pixels).save(path)
    (tmp_path / "set/dark/03.png").write_bytes(b"not an image")
    (tmp_path / "set/light/00.png").write_bytes((tmp_path / "set/dark/05.png").read_bytes())

    splits = read(tmp_path / "set")

    assert sum(splits.count().values()) == 38
    for part in (splits.train, splits.validation, splits.test):
        assert part.labels is not None
        bright = part.pixels.mean(axis=(1, 2, 3)) > 127
        assert np.array_equal(bright, part.labels == 1)


def test_unreadable_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    """The summary says why each of the first is unreadable."""
    folder = write_images(tmp_path / "set", 40)
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "010.png").write_bytes((folder / "010.png").read_bytes()[:60])

    notes = join_notes(read(folder))

    assert "used: 39 of 42 images" in notes
    assert "skipped: 3 unreadable: 010.png (" in notes
    assert "text.jpg (" in notes
    assert "empty.png (" in notes


def test_pixels_equal_those_of_the_service(tmp_path: Path) -> None:
    """Every decoded image equals `to_pixels` of its file."""
    folder = write_images(tmp_path / "set", 20, size=(30, 20))

    splits = read(folder, height=16, width=16)

    expected = set()
    for path in folder.iterdir():
        image = open_image(path.read_bytes()).decode_upright()
        expected.add(to_pixels(image, splits.image).tobytes())
    parts = (splits.train, splits.validation, splits.test)
    assert {image.tobytes() for part in parts for image in part.pixels} == expected


def test_copies_are_never_in_two_splits(tmp_path: Path) -> None:
    """Files with equal pixels count once, whatever their name, format and class."""
    for name in ("a", "b"):
        folder = write_images(tmp_path / "set" / name, 30)
        for path in sorted(folder.iterdir())[:15]:
            Image.open(path).save(folder / f"{path.stem} (1).bmp")
    Image.open(tmp_path / "set/a/000.png").save(tmp_path / "set/b/zzz.png")

    splits = read(tmp_path / "set")

    parts = (splits.train, splits.validation, splits.test)
    images = [image.tobytes() for part in parts for image in part.pixels]
    assert len(images) == len(set(images)) == 60
    notes = join_notes(splits)
    assert "skipped: 31 copies with the same pixels as another image, 1 of them in another" in notes


def test_copies_of_training_images_leave_the_test_split(tmp_path: Path) -> None:
    """If all test images are copies, a part of the training images is held out instead."""
    folder = write_images(tmp_path / "set" / "train", 40)
    for path in folder.iterdir():
        target = tmp_path / "set" / "Test" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())

    splits = read(tmp_path / "set")

    assert sum(splits.count().values()) == 40
    assert len(splits.test) == 6
    assert "skipped: 40 copies" in join_notes(splits)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "contains no images at any depth .found: .txt files .1.."),
        (1, "at least 20 images to train on, got one image; add more"),
        (2, "at least 20 images to train on, got 2 "),
    ],
)
def test_too_few_images_are_rejected(tmp_path: Path, count: int, message: str) -> None:
    """An empty folder and a small one have different errors."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("hello")

    with pytest.raises(DataError, match=message):
        read(write_images(tmp_path / "set", count))


def test_an_empty_folder_is_rejected(tmp_path: Path) -> None:
    """The error lists the accepted formats."""
    (tmp_path / "set").mkdir()

    with pytest.raises(DataError, match=r"no other files; accepted: PNG, JPEG, WebP"):
        read(tmp_path / "set")


def test_a_class_with_one_picture_is_rejected_with_three_ways_out(tmp_path: Path) -> None:
    """Merge it, remove it, or accept it."""
    write_images(tmp_path / "set" / "many", 30)
    write_images(tmp_path / "set" / "others", 30)
    write_images(tmp_path / "set" / "rare", 1)

    with pytest.raises(
        DataError, match=r"the class rare has one image .* merge .* remove .*--min-per-class 1"
    ):
        read(tmp_path / "set")


def test_a_small_class_can_be_accepted(tmp_path: Path) -> None:
    """Its only image is a training image."""
    write_images(tmp_path / "set" / "many", 30)
    write_images(tmp_path / "set" / "others", 30)
    write_images(tmp_path / "set" / "rare", 1)

    splits = read(tmp_path / "set", min_per_class=1)

    assert splits.classes == ("many", "others", "rare")
    assert splits.train.labels is not None
    assert 2 in splits.train.labels


def test_classes_can_be_ignored(tmp_path: Path) -> None:
    """All images are used, without labels."""
    write_images(tmp_path / "set" / "a", 30)
    write_images(tmp_path / "set" / "b", 1)

    splits = read(tmp_path / "set", classes=False)

    assert splits.classes is None
    assert sum(splits.count().values()) == 31


def test_a_class_of_unreadable_images_is_rejected(tmp_path: Path) -> None:
    """The error names the class, which a classifier could not learn."""
    for name in ("fine", "good"):
        write_images(tmp_path / "set" / name, 30)
    for number in range(6):
        (tmp_path / "set" / "broken").mkdir(exist_ok=True)
        (tmp_path / "set" / "broken" / f"{number}.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match=r"class broken .*remove the class"):
        read(tmp_path / "set")


def test_a_folder_of_unreadable_images_is_rejected(tmp_path: Path) -> None:
    """The error states the number of files."""
    (tmp_path / "set").mkdir()
    for number in range(30):
        (tmp_path / "set" / f"{number}.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match=r"All 30 images are unreadable, such as 0.png"):
        read(tmp_path / "set")


def test_mostly_unreadable_images_are_rejected(tmp_path: Path) -> None:
    """Half of a data set is not what its owner means to train on."""
    folder = write_images(tmp_path / "set", 30)
    for number in range(31):
        (folder / f"bad{number}.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match=r"Only 30 of 61 images are readable; .* bad0.png \("):
        read(folder)


def test_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    """A mistyped data set name gives the same error."""
    with pytest.raises(DataError, match=r"neither a built-in data set nor a file or folder"):
        read(tmp_path / "nowhere")


def test_a_file_of_another_kind_is_rejected(tmp_path: Path) -> None:
    """The error lists the accepted kinds."""
    (tmp_path / "film.mp4").write_bytes(b"")

    with pytest.raises(DataError, match=r"film.mp4 is not a data set; expected a folder .*zip"):
        read(tmp_path / "film.mp4")


def test_a_set_too_large_for_memory_is_decoded_into_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pixels are equal, in memory maps in the scratch folder."""
    folder = write_images(tmp_path / "set", 40, GREY)
    usual = read(folder)
    monkeypatch.setattr(pixel_stores, "MAX_MEMORY", 1000)

    mapped = read(folder)

    assert isinstance(mapped.train.pixels, np.memmap)
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == [
        "defects.pixels",
        "test.pixels",
        "train.pixels",
        "validation.pixels",
    ]
    assert mapped.digest() == usual.digest()


def test_reading_twice_gives_the_same_splits(tmp_path: Path) -> None:
    """Threads do not change the order of the images."""
    folder = write_images(tmp_path / "set", 300)

    assert read(folder).digest() == read(folder).digest()


def test_defects_of_a_test_split_are_kept_apart(tmp_path: Path) -> None:
    """MVTec's layout trains on good images; masks are ignored."""
    root = tmp_path / "bottle"
    write_images(root / "train" / "good", 30)
    write_images(root / "test" / "good", 8)
    write_images(root / "test" / "crack", 5)
    write_images(root / "test" / "stain", 4)
    write_images(root / "ground_truth" / "crack", 5, GREY)

    splits = read(root)

    assert splits.classes is None
    assert splits.count() == {"train": 27, "validation": 3, "test": 8}
    assert splits.defects is not None
    assert splits.defects.kinds == ("crack",) * 5 + ("stain",) * 4
    assert splits.defects.pixels.shape == (9, *splits.image.shape)
    assert "outside the split folders" in join_notes(splits)


def test_the_summary_counts_everything(tmp_path: Path) -> None:
    """Used, ignored and class lines are complete."""
    for name in ("a", "b"):
        write_images(tmp_path / "set" / name)
    write_image(tmp_path / "set" / "cover.png")
    (tmp_path / "set" / "a" / "notes.txt").write_text("hello")
    (tmp_path / "set" / "a" / "._000.png").write_bytes(b"apple")
    (tmp_path / "set" / "b" / "Thumbs.db").write_bytes(b"windows")

    notes = join_notes(read(tmp_path / "set"))

    assert "used: 40 of 41 images (31 train, 3 validation, 6 test)" in notes
    assert "images without a class (1)" in notes
    assert ".txt files (1)" in notes
    assert "files: hidden (1)" in notes
    assert "files: thumbnails and settings of the system (1)" in notes
    assert "classes: 2 (a 20, b 20)" in notes
