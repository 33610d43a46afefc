"""Tables with the names and labels of images."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.written_images import read, write_images
from training.data.splits import Splits
from training.errors import DataError


def write_rows(path: Path, *rows: str) -> Path:
    """Write a table of lines."""
    path.write_text("\n".join(rows) + "\n")
    return path


def count_classes(splits: Splits) -> dict[str, int]:
    """Return the number of images of each class in all splits."""
    assert splits.classes is not None
    parts = (splits.train, splits.validation, splits.test)
    labels = np.concatenate([part.labels for part in parts if part.labels is not None])
    counts = np.bincount(labels, minlength=len(splits.classes)).tolist()
    return dict(zip(splits.classes, counts, strict=True))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("filename,label", "{n:03}.png,{label}"),
        ("id;breed", "{n:03};{label}"),
        ("\ufeffpath\twidth\tclass", "images/{n:03}.png\t12\t{label}"),
        ("label,file", '"{label}","C:\\data\\{n:03}.png"'),
        ("image,even,odd", "{n:03},{even:.1f},{odd:.1f}"),
    ],
)
def test_a_table_gives_the_classes(tmp_path: Path, header: str, row: str) -> None:
    """With any separator, column names and form of the image's name."""
    folder = write_images(tmp_path / "set", 40)
    rows = [
        row.format(n=n, label="odd" if n % 2 else "even", odd=n % 2, even=1 - n % 2)
        for n in range(40)
    ]
    write_rows(folder / "labels.csv", header, *rows)

    splits = read(folder)

    assert count_classes(splits) == {"even": 20, "odd": 20}


def test_json_lines_give_the_classes(tmp_path: Path) -> None:
    """As Hugging Face's metadata.jsonl has them, with numbers as labels and a split."""
    folder = write_images(tmp_path / "set", 60)
    write_rows(
        folder / "metadata.jsonl",
        *(
            json.dumps(
                {"file_name": f"{n:03}.png", "label": n % 2, "split": "test" if n < 10 else "train"}
            )
            for n in range(60)
        ),
    )

    splits = read(folder)

    assert count_classes(splits) == {"0": 30, "1": 30}
    assert len(splits.test) == 10


def test_a_table_can_be_named_itself(tmp_path: Path) -> None:
    """Its folder has the images; those that it does not list are ignored and counted."""
    folder = write_images(tmp_path / "set", 50)
    rows = [f"{n:03}.png,{'ab'[n % 2]}" for n in range(40)]
    table = write_rows(folder / "labels.csv", "name,label", *rows, "lost.png,a")

    splits = read(table)

    assert splits.dataset == "labels"
    assert count_classes(splits) == {"a": 20, "b": 20}
    notes = "\n".join(splits.notes)
    assert "images without a class (10)" in notes
    assert "rows of labels.csv without an image (1)" in notes
    assert "classes: column label of labels.csv" in notes


def test_tables_of_splits_give_the_splits(tmp_path: Path) -> None:
    """train.csv and test.csv beside one folder of images."""
    folder = tmp_path / "set"
    write_images(folder / "images", 60)
    for name, numbers in (("train", range(45)), ("test", range(45, 60))):
        rows = [f"{n:03}.png,{'ab'[n % 2]}" for n in numbers]
        write_rows(folder / f"{name}.csv", "image,label", *rows)

    splits = read(folder)

    assert len(splits.test) == 15
    assert splits.classes == ("a", "b")


def test_a_table_of_something_else_is_ignored(tmp_path: Path) -> None:
    """Folders are the classes then."""
    for name in ("a", "b"):
        write_images(tmp_path / "set" / name, 20)
    write_rows(tmp_path / "set" / "log.csv", "epoch,loss", "1,0.5", "2,0.4")

    splits = read(tmp_path / "set")

    assert splits.classes == ("a", "b")
    assert any(".csv files (1)" in note for note in splits.notes)


def test_a_column_of_numbers_is_no_class(tmp_path: Path) -> None:
    """Almost every image has its own value."""
    folder = write_images(tmp_path / "set", 40)
    write_rows(folder / "ages.csv", "file,label", *(f"{n:03}.png,{n * 1.7}" for n in range(40)))

    splits = read(folder)

    assert splits.classes is None
    assert sum(splits.count().values()) == 40


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b", "1,2"], "No column of labels.csv contains names of the 20 images"),
        (
            ["file,x,y1", *(f"{n:03}.png,{n},{n}" for n in range(20))],
            r"no column called label \(columns: x, y1\); rename the one with the classes",
        ),
        (["file,label", *(f"{n:03}.png,{n}" for n in range(20))], "too many values for classes"),
    ],
)
def test_a_table_without_classes_is_rejected(tmp_path: Path, rows: list[str], message: str) -> None:
    """If the command names the table, it must give the classes."""
    folder = write_images(tmp_path / "set", 20)
    table = write_rows(folder / "labels.csv", *rows)

    with pytest.raises(DataError, match=message):
        read(table)


def test_invalid_json_lines_are_rejected(tmp_path: Path) -> None:
    """The error names the file."""
    folder = write_images(tmp_path / "set", 20)

    with pytest.raises(DataError, match=r"labels.jsonl is not valid JSON lines"):
        read(write_rows(folder / "labels.jsonl", "{"))
