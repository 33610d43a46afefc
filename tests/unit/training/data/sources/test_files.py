"""The walk over a folder's files."""

import os
from pathlib import Path

from tests.support.written_images import read, write_images
from training.data.sources.files import find_files


def touch(root: Path, *names: str) -> None:
    """Create empty files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_found_by_suffix_at_any_depth(tmp_path: Path) -> None:
    """In the order of their paths, with any case."""
    touch(
        tmp_path, "b.JPG", "a/c/d.Tiff", "labels.csv", "more.tar.gz", "x.npz", "film.mp4", "LICENSE"
    )

    found = find_files(tmp_path)

    assert found.images == ["b.JPG", "a/c/d.Tiff"]
    assert found.tables == ["labels.csv"]
    assert found.archives == ["more.tar.gz"]
    assert found.arrays == ["x.npz"]
    assert found.ignored == {".mp4 files": 1, "files without a suffix": 1}


def test_hidden_and_system_files_are_ignored(tmp_path: Path) -> None:
    """Apple, Windows and network storage leave files with image suffixes."""
    touch(
        tmp_path,
        *("a.png", "._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/a.png", ".git/a.png"),
        *("@eaDir/a.jpg", "thumbnails/a.png", "deep/.thumbnails/a.png"),
    )

    found = find_files(tmp_path)

    assert found.images == ["a.png"]
    assert sum(found.ignored.values()) == 8


def test_links_are_followed_once(tmp_path: Path) -> None:
    """Links to folders and files count; loops end."""
    outside = write_images(tmp_path / "outside", 2)
    touch(tmp_path, "set/a/1.png")
    (tmp_path / "set" / "b").symlink_to(outside)
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "c.png").symlink_to(outside / "000.png")
    (tmp_path / "set" / "broken.png").symlink_to(tmp_path / "nowhere.png")

    found = find_files(tmp_path / "set")

    assert sorted(found.images) == ["a/1.png", "b/000.png", "b/001.png", "broken.png", "c.png"]
    assert found.ignored == {"folders that a link repeats": 1}


def test_unusual_names_are_read_and_shown(tmp_path: Path) -> None:
    """Line breaks, quotes and invalid UTF-8 break neither reading nor the summary."""
    folder = write_images(tmp_path / "set", 20)
    names = ["a\nb.png", "quote'\"$.png", os.fsdecode(b"\xff.png"), "\u732b.png", " .png"]
    for number, name in enumerate(names):
        (folder / f"{number:03}.png").rename(folder / name)
    (folder / "bad\n.png").write_bytes(b"no image")

    splits = read(folder)

    assert sum(splits.count().values()) == 20
    assert not any("\n" in note for note in splits.notes)
    "\n".join(splits.notes).encode()
