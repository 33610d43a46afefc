"""Zip and tar archives as data sets."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.written_images import make_image, read, write_images
from training.data.splits import Splits
from training.errors import DataError


def make_file(seed: str) -> bytes:
    """Return the content of a PNG file."""
    stream = io.BytesIO()
    make_image(seed).save(stream, "PNG")
    return stream.getvalue()


def write_zip(path: Path, files: dict[str, bytes], **options: int) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_classes(prefix: str = "") -> dict[str, bytes]:
    """Return the files of two classes."""
    return {
        f"{prefix}{name}/{n}.png": make_file(f"{name}{n}")
        for name in ("cat", "dog")
        for n in range(20)
    }


def count(splits: Splits) -> int:
    """Return the number of used images."""
    return sum(splits.count().values())


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_an_archive_equals_its_unpacked_folder(tmp_path: Path, suffix: str) -> None:
    """The same pixels in the same splits."""
    files = make_classes("pets/")
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    archive = tmp_path / f"archive.{suffix}"
    mode = {"tar": "w", "tgz": "w:gz"}.get(suffix, f"w:{suffix[4:]}")
    (write_zip(archive, files) if suffix == "zip" else write_tar(archive, files, mode))

    splits = read(archive)

    assert splits.dataset == "archive"
    assert splits.classes == ("cat", "dog")
    assert splits.digest() == read(tmp_path / "pets").digest()


def test_hidden_members_are_ignored(tmp_path: Path) -> None:
    """MacOS adds a shadow of each file."""
    files = {**make_classes(), "__MACOSX/cat/._1.png": b"apple", "cat/readme.txt": b"text"}

    splits = read(write_zip(tmp_path / "set.zip", files))

    assert count(splits) == 40
    assert any("files: in __MACOSX folders (1)" in note for note in splits.notes)


def test_paths_out_of_an_archive_are_harmless(tmp_path: Path) -> None:
    """Nothing is written by a member's name."""
    files = {
        **make_classes(),
        "../../escape.png": make_file("escape"),
        "/cat/../dog/x.png": make_file("x"),
    }

    read(write_tar(tmp_path / "set.tar.gz", files, "w:gz"))

    assert not [folder for folder in tmp_path.parents if (folder / "escape.png").exists()]
    assert {path.name for path in tmp_path.iterdir()} == {"set.tar.gz", "scratch"}


def test_links_in_a_tar_are_ignored(tmp_path: Path) -> None:
    """A link could name any file of the machine."""
    path = write_tar(tmp_path / "set.tar", make_classes())
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)

    splits = read(path)

    assert count(splits) == 40
    assert any("links in archives (1)" in note for note in splits.notes)


def test_archives_of_a_folder_are_classes(tmp_path: Path) -> None:
    """A folder with one archive per class is read like its unpacked content."""
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        files = {f"{n}.png": make_file(f"{name}{n}") for n in range(20)}
        write_zip(tmp_path / "set" / f"{name}.zip", files)

    splits = read(tmp_path / "set")

    assert splits.classes == ("cat", "dog")
    assert count(splits) == 40


def test_an_archive_beside_images_is_ignored(tmp_path: Path) -> None:
    """It is usually what the images were unpacked from."""
    folder = write_images(tmp_path / "set", 20)
    write_zip(folder / "download.zip", make_classes())

    splits = read(folder)

    assert count(splits) == 20
    assert any(".zip files (1)" in note for note in splits.notes)


def test_shards_have_labels(tmp_path: Path) -> None:
    """WebDataset: <key>.cls beside <key>.png, and splits in the names of the shards."""
    (tmp_path / "set").mkdir()
    for part, numbers in (("train-000000", range(40)), ("val-000000", range(40, 50))):
        files = {}
        for number in numbers:
            files[f"{number:05}.png"] = make_file(str(number))
            files[f"{number:05}.cls"] = str(number % 10 + 2).encode()
            files[f"{number:05}.json"] = b"{}"
        write_tar(tmp_path / "set" / f"{part}.tar", files)

    splits = read(tmp_path / "set", min_per_class=1)

    assert splits.classes == tuple(str(label) for label in range(2, 12))
    assert len(splits.validation) == 10
    assert "classes: the .cls files of WebDataset shards" in splits.notes


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_a_damaged_archive_is_rejected(tmp_path: Path, suffix: str) -> None:
    """The error names the file."""
    path = tmp_path / f"set.{suffix}"
    path.write_bytes(b"not an archive" * 100)

    with pytest.raises(DataError, match=f"set.{suffix} is not a valid archive"):
        read(path)


def test_an_archive_without_images_is_rejected(tmp_path: Path) -> None:
    """The error lists what it contains."""
    path = write_zip(tmp_path / "set.zip", {"a.txt": b"", "b.doc": b""})

    with pytest.raises(DataError, match=r"contains no images at any depth .*\.txt files \(1\)"):
        read(path)


def test_a_damaged_member_is_skipped(tmp_path: Path) -> None:
    """The other members are used."""
    path = write_zip(tmp_path / "set.zip", make_classes())
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT") + 20
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)

    splits = read(path)

    assert count(splits) == 39
    assert any("skipped: 1 unreadable: cat/0.png" in note for note in splits.notes)
