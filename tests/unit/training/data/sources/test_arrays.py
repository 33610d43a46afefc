"""NumPy arrays as data sets."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.written_images import read
from training.data.splits import Splits
from training.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 12, 10, 3), np.uint8)
GREY = RNG.integers(0, 256, (40, 12, 10), np.uint8)
LABELS = np.arange(40) % 2


def list_pixels(splits: Splits) -> set[bytes]:
    """Return the pixels of all images."""
    parts = (splits.train, splits.validation, splits.test)
    return {image.tobytes() for part in parts for image in part.pixels}


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES.transpose(0, 3, 1, 2)),
        (GREY, GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (GREY[..., None].astype(np.int64), GREY[:, None]),
        (GREY / np.float32(255), GREY[:, None]),
        (GREY.astype(np.float64), GREY[:, None]),
        (GREY > 127, (GREY > 127)[:, None] * np.uint8(255)),
        (GREY[:, :10].reshape(40, 100), GREY[:, None, :10]),
    ],
)
def test_layouts_and_types_are_found(
    tmp_path: Path, images: np.ndarray, expected: np.ndarray
) -> None:
    """The pixels are those of the array, in every common form."""
    np.save(tmp_path / "set.npy", images)

    splits = read(tmp_path / "set.npy")

    assert list_pixels(splits) == {np.ascontiguousarray(image).tobytes() for image in expected}


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_names_give_splits_and_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    """As Keras and MedMNIST store them."""
    arrays = (IMAGES[:30], LABELS[:30, None], IMAGES[30:], LABELS[30:, None])
    np.savez_compressed(tmp_path / "set.npz", **dict(zip(names, arrays, strict=True)))

    splits = read(tmp_path / "set.npz")

    assert splits.classes == ("0", "1")
    assert splits.count() == {"train": 27, "validation": 3, "test": 10}


def test_a_folder_of_arrays_is_one_data_set(tmp_path: Path) -> None:
    """images.npy and labels.npy, with labels as text."""
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "images.npy", IMAGES)
    np.save(tmp_path / "set" / "labels.npy", np.array(["cat", "dog"])[LABELS])

    splits = read(tmp_path / "set")

    assert splits.classes == ("cat", "dog")
    assert splits.dataset == "set"


def test_array_files_in_class_folders_are_images(tmp_path: Path) -> None:
    """One .npy file per image."""
    for index, image in enumerate(IMAGES):
        folder = tmp_path / "set" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{index}.npy", image)

    splits = read(tmp_path / "set")

    assert splits.classes == ("a", "b")
    assert list_pixels(splits) == {image.transpose(2, 0, 1).tobytes() for image in IMAGES}


def test_other_ranges_are_stretched_and_said(tmp_path: Path) -> None:
    """Such as Hounsfield units."""
    np.save(tmp_path / "ct.npy", GREY.astype(np.int16) * 8 - 1000)

    splits = read(tmp_path / "ct.npy")

    levels = np.concatenate([splits.train.pixels, splits.validation.pixels, splits.test.pixels])
    assert (levels.min(), levels.max()) == (0, 255)
    assert "values of ct from -1000 to 1040 become 0 to 255" in splits.notes


def test_deep_arrays_have_levels(tmp_path: Path) -> None:
    """12 bits in uint16 are stretched as those of 16-bit files are."""
    np.save(tmp_path / "deep.npy", GREY.astype(np.uint16) * 16)

    splits = read(tmp_path / "deep.npy")

    assert splits.image.levels is not None
    assert splits.image.levels[1] == pytest.approx(4080, rel=0.01)
    assert splits.train.pixels.max() == 255


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((30, 5, 5, 7))}, r"x has the shape \(30, 5, 5, 7\); expected images of"),
        ({"x": np.full((30, 5, 5), np.nan)}, "x contains NaN or infinity"),
        ({"y": LABELS}, r"set contains no array of images: y \(40,\)"),
        ({"x": IMAGES, "y": LABELS[:7]}, "40 images have 7 labels"),
        ({"x": IMAGES, "z": IMAGES}, "two arrays of images"),
        ({"x": np.array([[["a"]]] * 30)}, "x has the type <U1; expected numbers"),
        ({"x": np.array([[None]])}, "set.npz cannot be read: .*; expected arrays of numbers"),
    ],
)
def test_other_arrays_are_rejected(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    """The error names the array and what is expected; no pickle is loaded."""
    np.savez(tmp_path / "set.npz", allow_pickle=True, **arrays)

    with pytest.raises(DataError, match=message):
        read(tmp_path / "set.npz")


def test_a_damaged_file_is_rejected(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 damaged")

    with pytest.raises(DataError, match=r"set.npz cannot be read"):
        read(tmp_path / "set.npz")
