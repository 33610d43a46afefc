"""The built-in data sets."""

import struct
from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import list_datasets, read_data
from training.data.splits import Splits
from training.data.torchvision_operators import declare_missing_operators
from training.errors import DataError
from training.recipe.parsing import parse_recipe

FILES = {"train": 40, "t10k": 20}


def read(dataset: str, root: Path, seed: int = 0) -> Splits:
    """Read a data set as training does."""
    members = {"name": "x", "seed": seed, "data": {"dataset": dataset}, "autoencoder": {}}
    return read_data(parse_recipe(members), root, root)


def write_idx(root: Path, name: str) -> None:
    """Write a tiny data set in the layout that torchvision expects."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, count in FILES.items():
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10 if count >= 50 else np.arange(count) % 4).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, count, 28, 28) + pixels.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + labels.tobytes()
        )


@pytest.mark.parametrize(
    ("dataset", "folder", "last"),
    [("fashion-mnist", "FashionMNIST", "Ankle boot"), ("mnist", "MNIST", "9")],
)
def test_existing_raw_files_are_used_unchanged(
    tmp_path: Path, dataset: str, folder: str, last: str
) -> None:
    """Existing files cause neither a download nor a write."""
    write_idx(tmp_path, folder)
    before = sorted(tmp_path.rglob("*"))
    tmp_path.chmod(0o555)

    splits = read(dataset, tmp_path)

    tmp_path.chmod(0o755)
    assert splits.count() == {"train": 36, "validation": 4, "test": 20}
    assert splits.image.shape == (1, 28, 28)
    assert splits.classes is not None
    assert splits.classes[-1] == last
    assert sorted(tmp_path.rglob("*")) == before


def test_the_error_of_a_failed_download_names_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the flag that sets the folder of the files."""
    declare_missing_operators()
    from torchvision.datasets import mnist  # noqa: PLC0415 - after its operators are declared

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(mnist, "download_and_extract_archive", fail)

    with pytest.raises(DataError, match=r"MNIST is not in .*Set --data-root to the folder"):
        read("mnist", tmp_path)


def test_digits_need_no_data_root(tmp_path: Path) -> None:
    """scikit-learn contains them: 8 x 8 pixels from 0 to 255."""
    splits = read("digits", tmp_path / "nowhere")

    assert splits.count() == {"train": 1293, "validation": 144, "test": 360}
    assert splits.image.shape == (1, 8, 8)
    assert (splits.train.pixels.min(), splits.train.pixels.max()) == (0, 255)
    assert splits.classes == tuple("0123456789")


def test_the_seed_changes_the_validation_split_only(tmp_path: Path) -> None:
    """Metrics of different seeds refer to the same test images."""
    first, second = read("digits", tmp_path, 0), read("digits", tmp_path, 1)

    assert np.array_equal(first.test.pixels, second.test.pixels)
    assert not np.array_equal(first.validation.pixels, second.validation.pixels)


def test_every_data_set_is_listed() -> None:
    """The list is sorted and complete; the help of `latentd train` prints it."""
    assert list_datasets() == ["digits", "fashion-mnist", "mnist"]
