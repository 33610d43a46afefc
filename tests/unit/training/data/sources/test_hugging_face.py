"""Hugging Face data sets: saved folders and Parquet files, and the error without the library."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.written_images import make_image, read
from training.data.splits import Splits
from training.errors import DataError

COUNT = 60


def make_rows(library: Any) -> Any:  # noqa: ANN401 - the library is optional
    """Return a data set with two classes, in another order than the alphabet's."""
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=["zebra", "ant"])}
    )
    columns = {
        "image": [make_image(str(number)) for number in range(COUNT)],
        "label": [number % 2 for number in range(COUNT)],
    }
    return library.Dataset.from_dict(columns, features=features)


def check_pixels(splits: Splits) -> None:
    """Compare the pixels and labels of all splits with those that were stored."""
    expected = {
        np.asarray(make_image(str(number))).transpose(2, 0, 1).tobytes(): number % 2
        for number in range(COUNT)
    }
    assert splits.classes == ("zebra", "ant")
    for part in (splits.train, splits.validation, splits.test):
        assert part.labels is not None
        assert [expected[image.tobytes()] for image in part.pixels] == part.labels.tolist()


def test_a_saved_folder_is_read(tmp_path: Path) -> None:
    """`save_to_disk` of one split; the classes keep the library's order."""
    library = pytest.importorskip("datasets", reason="needs the extra 'datasets'")
    make_rows(library).save_to_disk(str(tmp_path / "set"))

    splits = read(tmp_path / "set")

    check_pixels(splits)
    assert sum(splits.count().values()) == COUNT


def test_saved_splits_are_the_splits(tmp_path: Path) -> None:
    """`save_to_disk` of several splits."""
    library = pytest.importorskip("datasets", reason="needs the extra 'datasets'")
    rows = make_rows(library)
    parts = {"train": rows.select(range(40)), "test": rows.select(range(40, COUNT))}
    library.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))

    splits = read(tmp_path / "set")

    check_pixels(splits)
    assert len(splits.test) == 20


def test_parquet_files_are_read(tmp_path: Path) -> None:
    """Their names give the splits, as on the hub."""
    library = pytest.importorskip("datasets", reason="needs the extra 'datasets'")
    rows = make_rows(library)
    (tmp_path / "set").mkdir()
    rows.select(range(40)).to_parquet(tmp_path / "set" / "train-00000-of-00001.parquet")
    rows.select(range(40, COUNT)).to_parquet(tmp_path / "set" / "test-00000-of-00001.parquet")

    splits = read(tmp_path / "set")

    check_pixels(splits)
    assert len(splits.test) == 20


@pytest.mark.parametrize("source", ["set", "hf:owner/flowers", "saved"])
def test_a_missing_library_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.parquet").touch()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").touch()

    with pytest.raises(DataError, match=r"install it with: pip install 'latentd\[datasets\]'"):
        read(source if source.startswith("hf:") else tmp_path / source)
