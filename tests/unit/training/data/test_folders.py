"""Folders of images: discovery, inferred sizes, skipped and rejected files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.artifact.image_files import open_image
from service.artifact.pixels import to_pixels
from training.data import folders
from training.data.folders import read_folder
from training.data.splits import Splits
from training.errors import DataError
from training.recipe.schema import DataRecipe

COLOUR, GREY = "RGB", "L"


def write_image(path: Path, mode: str, size: tuple[int, int], value: int) -> None:
    """Write an image of `size` = (width, height): noise of 0 to 49 added to `value`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == COLOUR else (size[1], size[0])
    noise = np.random.default_rng(value).integers(0, 50, shape)
    Image.fromarray((noise + value).astype(np.uint8)).save(path)


def write_images(
    folder: Path, count: int = 10, mode: str = COLOUR, size: tuple[int, int] = (12, 10)
) -> Path:
    """Write `count` images."""
    for number in range(count):
        write_image(folder / f"{number:02}.png", mode, size, number)
    return folder


def read(folder: Path, **recipe: object) -> Splits:
    """Read a folder as training does."""
    settings = DataRecipe.model_validate({"dataset": str(folder), **recipe})
    return read_folder(folder, settings, 0, folder.parent / "scratch")


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    """The sorted folder names are the classes, and each split is stratified."""
    for name in ("cat", "ant", "bee"):
        write_images(tmp_path / "set" / name, 20)

    splits = read(tmp_path / "set")

    assert splits.dataset == "set"
    assert splits.classes == ("ant", "bee", "cat")
    assert splits.count() == {"train": 46, "validation": 5, "test": 9}
    assert splits.test.labels is not None
    assert np.bincount(splits.test.labels).tolist() == [3, 3, 3]
    assert splits.train.pixels.shape[1:] == splits.image.shape == (3, 10, 12)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    """A folder without colour gives one channel and a background of one value."""
    splits = read(write_images(tmp_path / "set", 20, GREY))

    assert splits.image.shape == (1, 10, 12)
    assert splits.image.background == (0.0,)


def test_a_single_colour_image_gives_three_channels(tmp_path: Path) -> None:
    """Grey images are converted to colour if any image has colour."""
    folder = write_images(tmp_path / "set", 20, GREY)
    write_image(folder / "last.jpg", COLOUR, (12, 10), 3)

    assert read(folder).image.channels == 3


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    """Images directly in the folder are unlabelled."""
    splits = read(write_images(tmp_path / "set", 20))

    assert splits.classes is None
    assert splits.train.labels is None
    assert splits.count() == {"train": 15, "validation": 2, "test": 3}


def test_a_single_sub_folder_gives_no_classes(tmp_path: Path) -> None:
    """A classifier needs at least two classes."""
    write_images(tmp_path / "set" / "only", 20)

    assert read(tmp_path / "set").classes is None


def test_a_test_folder_is_the_test_split(tmp_path: Path) -> None:
    """With train and test folders, the test split contains no image of train."""
    for part, count in (("train", 20), ("test", 4)):
        for name in ("a", "b"):
            write_images(tmp_path / "set" / part / name, count)

    splits = read(tmp_path / "set")

    assert splits.count() == {"train": 36, "validation": 4, "test": 8}
    assert splits.classes == ("a", "b")


def test_a_test_class_without_training_images_is_rejected(tmp_path: Path) -> None:
    """The error names the class."""
    for name in ("a", "b"):
        write_images(tmp_path / "set" / "train" / name, 20)
    for name in ("a", "zebra"):
        write_images(tmp_path / "set" / "test" / name, 5)

    with pytest.raises(DataError, match="zebra"):
        read(tmp_path / "set")


def test_the_inferred_size_is_the_median_and_at_most_64(tmp_path: Path) -> None:
    """A median of 200 x 100 pixels gives 64 x 32, which preserves the aspect ratio."""
    folder = write_images(tmp_path / "set", 20, size=(200, 100))
    write_image(folder / "odd.png", COLOUR, (30, 300), 1)

    assert read(folder).image.shape == (3, 32, 64)


def test_the_recipe_takes_precedence_over_the_images(tmp_path: Path) -> None:
    """Size, channels, resize rule and background can all be set."""
    splits = read(
        write_images(tmp_path / "set", 20),
        channels=1,
        height=16,
        width=24,
        resize="crop",
        background=(0.5,),
    )

    assert splits.image.shape == (1, 16, 24)
    assert splits.image.resize == "crop"
    assert splits.image.background == (0.5,)


def test_a_background_with_a_wrong_number_of_channels_is_rejected(tmp_path: Path) -> None:
    """The error names the key."""
    with pytest.raises(DataError, match=r"data\.background: expected 3 values.*got 1"):
        read(write_images(tmp_path / "set", 20), background=(0.5,))


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


def test_unreadable_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    """The readable images keep their labels."""
    for index, name in enumerate(("dark", "light")):
        for number in range(20):
            write_image(tmp_path / "set" / name / f"{number}.png", GREY, (8, 8), 200 * index)
    (tmp_path / "set" / "dark" / "bad.png").write_bytes(b"not an image")
    half = (tmp_path / "set" / "light" / "3.png").read_bytes()[:60]
    (tmp_path / "set" / "light" / "3.png").write_bytes(half)

    splits = read(tmp_path / "set")

    assert sum(splits.count().values()) == 39
    assert len(splits.notes) == 1
    assert "skipped 2 unreadable images" in splits.notes[0]
    assert "bad.png" in splits.notes[0]
    assert splits.train.labels is not None
    bright = splits.train.pixels.mean(axis=(1, 2, 3)) > 127
    assert np.array_equal(bright, splits.train.labels == 1)


def test_other_and_hidden_files_are_ignored(tmp_path: Path) -> None:
    """Only visible files with an image suffix count."""
    folder = write_images(tmp_path / "set", 20)
    (folder / "notes.txt").write_text("hello")
    (folder / ".hidden.png").write_bytes(b"not an image")

    splits = read(folder)

    assert sum(splits.count().values()) == 20
    assert splits.notes == ()


@pytest.mark.parametrize(
    ("count", "message"), [(0, "contain 0 .png"), (3, "at least 20 images, got 3")]
)
def test_too_few_images_are_rejected(tmp_path: Path, count: int, message: str) -> None:
    """An empty folder and a small one have different errors."""
    (tmp_path / "set").mkdir()

    with pytest.raises(DataError, match=message):
        read(write_images(tmp_path / "set", count))


def test_too_few_images_of_a_class_are_rejected(tmp_path: Path) -> None:
    """A class with two images cannot be in three splits."""
    write_images(tmp_path / "set" / "many", 30)
    write_images(tmp_path / "set" / "few", 2)

    with pytest.raises(DataError, match="got a class with 2"):
        read(tmp_path / "set")


def test_a_class_of_unreadable_images_is_rejected(tmp_path: Path) -> None:
    """The error names the class, which a classifier could not learn."""
    write_images(tmp_path / "set" / "good", 30)
    for number in range(6):
        (tmp_path / "set" / "broken").mkdir(exist_ok=True)
        (tmp_path / "set" / "broken" / f"{number}.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match="class broken"):
        read(tmp_path / "set")


def test_a_folder_of_unreadable_images_is_rejected(tmp_path: Path) -> None:
    """The error states the number of files."""
    (tmp_path / "set").mkdir()
    for number in range(30):
        (tmp_path / "set" / f"{number}.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match="All 30 images are unreadable"):
        read(tmp_path / "set")


def test_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    """A mistyped data set name gives the same error."""
    with pytest.raises(DataError, match="neither a built-in data set nor a folder"):
        read(tmp_path / "nowhere")


def test_a_set_too_large_for_memory_is_decoded_into_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pixels are equal, in memory maps in the scratch folder."""
    folder = write_images(tmp_path / "set", 20)
    usual = read(folder)
    monkeypatch.setattr(folders, "_count_memory", lambda: 1000)

    mapped = read(folder)

    assert isinstance(mapped.train.pixels, np.memmap)
    assert (tmp_path / "scratch" / "train.pixels").exists()
    assert mapped.digest() == usual.digest()
