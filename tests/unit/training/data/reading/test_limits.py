"""Images that are too small, too large or too many."""

import errno
from pathlib import Path

import numpy as np
import pytest

from tests.support.written_images import read, write_image, write_images
from training.data.reading import files, pixel_stores
from training.errors import DiskFullError


def raise_full_disk(*_: object) -> None:
    """Fail as a write on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_tracking_pixel_is_skipped(tmp_path: Path) -> None:
    """An image of 1 x 1 contains nothing to learn."""
    folder = write_images(tmp_path / "set", 20)
    write_image(folder / "pixel.png", size=(1, 1))

    splits = read(folder)

    assert any("skipped: 1 unreadable: pixel.png (only 1 x 1 pixels)" in n for n in splits.notes)


def test_an_image_that_does_not_fit_into_memory_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are used."""
    folder = write_images(tmp_path / "set", 20)
    write_image(folder / "poster.png", size=(500, 400))
    monkeypatch.setattr(files, "count_memory", lambda: 100_000 * files.count_threads())

    splits = read(folder)

    assert any("poster.png (500 x 400 pixels do not fit" in note for note in splits.notes)
    assert sum(splits.count().values()) == 20


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the folder."""
    folder = write_images(tmp_path / "set", 40)
    monkeypatch.setattr(pixel_stores, "MAX_MEMORY", 0)

    monkeypatch.setattr(pixel_stores.PixelStore, "append", raise_full_disk)

    with pytest.raises(DiskFullError, match=r"no space left in .*scratch; nothing is lost: free"):
        read(folder)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_store_splits_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """In memory and in files, for more images than a block and for none."""
    monkeypatch.setattr(pixel_stores, "MAX_MEMORY", limit)
    images = np.random.default_rng(0).integers(0, 256, (2500, 1, 4, 4), np.uint8)
    store = pixel_stores.PixelStore((1, 4, 4), 3000, tmp_path)
    for image in images:
        store.append(image)
    rows = {"a": np.arange(0, 2500, 3), "b": np.array([1023, 1024, 2499]), "c": np.arange(0)}

    parts = store.split(rows)
    store.close()

    for key, indices in rows.items():
        assert np.array_equal(parts[key], images[indices])
    assert not (tmp_path / "all.pixels").exists()
