"""The local copy of a remote store: completeness, checksums, outages and the size bound."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from service.artifact import list_bundles, open_bundle
from service.artifact.remote import objects
from service.artifact.remote.mirror import Mirror, locate_cache
from service.artifact.remote.objects import ObjectStore
from tests.support.fakes import write_bundle

FILES = fsspec.filesystem("memory")
ROOT = "/bundles/production"
LARGE = 10**9


@pytest.fixture
def mirror(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror of the two highest versions; failed requests are repeated without pauses."""
    monkeypatch.setattr(objects, "_RETRY_SECONDS", (0.0,))
    return Mirror(ObjectStore(url), tmp_path / "cache", 2, LARGE)


@pytest.fixture
def count_downloads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that returns the number of files downloaded so far."""
    downloads: list[str] = []
    download = ObjectStore.download

    def count(self: ObjectStore, name: str, version: int, file: str, target: Path) -> None:
        downloads.append(file)
        download(self, name, version, file, target)

    monkeypatch.setattr(ObjectStore, "download", count)
    return lambda: len(downloads)


def test_the_newest_versions_are_copied(mirror: Mirror, url: str) -> None:
    """Of each name the two highest versions are copied, and every file is intact."""
    for name in ("full", "full", "full", "other"):
        write_bundle(url, name)
    assert mirror.update() == ""
    assert list_bundles(mirror.folder) == {"full": [3, 2], "other": [1]}
    bundle = open_bundle(mirror.folder, "full", 3)
    assert all(bundle.read(file) for file in bundle.manifest.files)


def test_a_current_copy_is_not_downloaded_again(
    mirror: Mirror, url: str, count_downloads: Callable[[], int]
) -> None:
    """Neither the next update nor another process with the same folder downloads a file."""
    write_bundle(url, "full")
    mirror.update()
    first = count_downloads()
    other = Mirror(ObjectStore(url), mirror.folder, 2, LARGE)
    assert (mirror.update(), other.update(), count_downloads()) == ("", "", first)


def test_an_incomplete_version_is_ignored(mirror: Mirror, url: str) -> None:
    """A version without a manifest is copied only when its manifest is there."""
    for _ in range(2):
        write_bundle(url, "full")
    manifest = FILES.cat_file(f"{ROOT}/full/2/manifest.json")
    FILES.rm_file(f"{ROOT}/full/2/manifest.json")
    mirror.update()
    assert list_bundles(mirror.folder) == {"full": [1]}
    FILES.pipe_file(f"{ROOT}/full/2/manifest.json", manifest)
    mirror.update()
    assert list_bundles(mirror.folder) == {"full": [2, 1]}


def test_an_outage_keeps_the_copies(
    mirror: Mirror, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store cannot be read, the reason is returned and no copy is removed."""
    write_bundle(url, "full")
    mirror.update()

    def fail(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr(mirror.store._opened[0], "find", fail)
    assert "connection refused" in mirror.update()
    assert list_bundles(mirror.folder) == {"full": [1]}


def test_an_empty_store_keeps_the_copies(mirror: Mirror, url: str) -> None:
    """A listing without bundles removes nothing, as in a local store."""
    write_bundle(url, "full")
    mirror.update()
    FILES.rm(ROOT, recursive=True)
    assert "contains no bundle" in mirror.update()
    assert list_bundles(mirror.folder) == {"full": [1]}


def test_a_deleted_version_is_removed(mirror: Mirror, url: str) -> None:
    """A version that was deleted from the store is deleted from the copies."""
    for _ in range(2):
        write_bundle(url, "full")
    mirror.update()
    FILES.rm(f"{ROOT}/full/2", recursive=True)
    assert mirror.update() == ""
    assert list_bundles(mirror.folder) == {"full": [1]}


def test_a_corrupt_version_does_not_displace_an_intact_one(mirror: Mirror, url: str) -> None:
    """A corrupt object is copied for the registry to reject, with two intact versions below."""
    for _ in range(3):
        write_bundle(url, "full")
    FILES.pipe_file(f"{ROOT}/full/3/decoder.onnx", b"corrupt")
    assert mirror.update() == ""
    assert list_bundles(mirror.folder) == {"full": [3, 2, 1]}
    assert (mirror.folder / "full/3/decoder.onnx").read_bytes() == b"corrupt"


def test_a_repaired_object_is_copied(
    mirror: Mirror, url: str, count_downloads: Callable[[], int]
) -> None:
    """A corrupt version is downloaded again when its objects change, and not before."""
    write_bundle(url, "full")
    intact = FILES.cat_file(f"{ROOT}/full/1/decoder.onnx")
    FILES.pipe_file(f"{ROOT}/full/1/decoder.onnx", b"corrupt")
    mirror.update()
    first = count_downloads()
    mirror.update()
    assert count_downloads() == first
    FILES.pipe_file(f"{ROOT}/full/1/decoder.onnx", intact)
    mirror.update()
    assert open_bundle(mirror.folder, "full", 1).read("decoder.onnx") == intact


def test_a_corrupt_transfer_is_repeated(
    mirror: Mirror, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that arrives damaged is downloaded again at once."""
    write_bundle(url, "full")
    download, damaged = ObjectStore.download, ["decoder.onnx"]

    def damage(self: ObjectStore, name: str, version: int, file: str, target: Path) -> None:
        download(self, name, version, file, target)
        if file in damaged:
            damaged.remove(file)
            target.write_bytes(b"damaged")

    monkeypatch.setattr(ObjectStore, "download", damage)
    mirror.update()
    assert open_bundle(mirror.folder, "full", 1).read("decoder.onnx") != b"damaged"


def test_a_damaged_copy_is_replaced(mirror: Mirror, url: str) -> None:
    """A file of the cache that changes on disk is downloaded again."""
    write_bundle(url, "full")
    mirror.update()
    (mirror.folder / "full/1/decoder.onnx").write_bytes(b"damaged")
    mirror.update()
    assert open_bundle(mirror.folder, "full", 1).read("decoder.onnx") != b"damaged"


def test_the_size_bound_removes_old_copies(mirror: Mirror, url: str) -> None:
    """A new version takes the place of versions that are not among the newest."""
    write_bundle(url, "full")
    mirror.update()
    size = sum(path.stat().st_size for path in (mirror.folder / "full/1").iterdir())
    bounded = Mirror(ObjectStore(url), mirror.folder, 1, size * 3 // 2)
    write_bundle(url, "full")
    assert bounded.update() == ""
    assert list_bundles(mirror.folder) == {"full": [2]}


def test_a_version_above_the_size_bound_is_reported_once(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A version that cannot fit is not copied; the log names the setting once."""
    write_bundle(url, "full")
    mirror = Mirror(ObjectStore(url), tmp_path, 2, 100)
    for _ in range(2):
        mirror.update()
    (record,) = caplog.records
    assert "LATENTD_STORE_CACHE_BYTES" in record.getMessage()
    assert list_bundles(tmp_path) == {}


def test_an_unwritable_cache_names_the_setting(url: str, tmp_path: Path) -> None:
    """A cache folder that cannot be created is reported with the setting."""
    write_bundle(url, "full")
    (tmp_path / "file").touch()
    mirror = Mirror(ObjectStore(url), tmp_path / "file" / "cache", 2, LARGE)
    assert "LATENTD_STORE_CACHE" in mirror.update()


def test_the_cache_of_each_store_is_separate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting each URL has a folder in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    first, second = locate_cache("s3://a", None), locate_cache("s3://b", None)
    assert first.parent == second.parent == Path("/cache/latentd")
    assert first != second
    assert locate_cache("s3://a", Path("/other")) == Path("/other")
