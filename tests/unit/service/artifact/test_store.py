"""The store: complete bundles or none, with concurrent writers and killed processes."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.artifact import Bundle, list_bundles, open_bundle, publish, stage, survey
from service.artifact.store import MANIFEST_FILE
from service.errors import ArtifactError
from tests.support import fakes
from tests.support.fakes import write_bundle

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support.fakes import write_bundle
while True:
    write_bundle(Path(sys.argv[2]), "full")
    print("published", flush=True)
"""


def read_all_files(bundle: Bundle) -> int:
    """Read and verify every file of a bundle; return the number of files."""
    return len([bundle.read(file) for file in bundle.manifest.files])


def test_versions_are_consecutive(tmp_path: Path) -> None:
    """Each published bundle gets the next version of its name; the highest is listed first."""
    versions = [write_bundle(tmp_path, "full").version for _ in range(3)]
    write_bundle(tmp_path, "colour")

    assert versions == [1, 2, 3]
    assert list_bundles(tmp_path) == {"colour": [1], "full": [3, 2, 1]}


def test_versions_sort_as_numbers(tmp_path: Path) -> None:
    """Version 10 is higher than 9."""
    write_bundle(tmp_path, "full")
    (tmp_path / "full" / "1").rename(tmp_path / "full" / "9")

    write_bundle(tmp_path, "full")

    assert list_bundles(tmp_path)["full"] == [10, 9]


def test_other_files_and_folders_are_not_listed(bundle: Bundle) -> None:
    """Files, hidden folders, invalid names and invalid versions are ignored."""
    store = bundle.folder.parents[1]
    for folder in (
        ".staging-x/1",
        "UPPER/1",
        "empty",
        "full/latest",
        "full/0",
        "full/01",
        "full/.1",
    ):
        (store / folder).mkdir(parents=True)
    (store / "file").write_text("")

    assert list_bundles(store) == {"full": [1]}


def test_unreadable_bundle_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`survey` returns the error of one unreadable folder; `list_bundles` raises it."""
    for name in ("full", "other"):
        write_bundle(tmp_path, name)
    list_folder = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "full":
            raise PermissionError(13, "Permission denied")
        return iter(list(list_folder(path)))

    monkeypatch.setattr(Path, "iterdir", iterdir)

    bundles = survey(tmp_path)
    assert str(bundles["full"]) == "full: the folder cannot be read: Permission denied"
    assert bundles["other"] == [1]
    with pytest.raises(ArtifactError, match="full: the folder cannot be read"):
        list_bundles(tmp_path)


def test_missing_store_is_an_error(tmp_path: Path) -> None:
    """A missing folder is an error, unlike an empty one."""
    with pytest.raises(ArtifactError, match="does not exist"):
        list_bundles(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "Full", "a..b", "-a", "a" * 65, "a\n"])
def test_unsafe_name_is_rejected(tmp_path: Path, name: str) -> None:
    """Publishing under a name that could leave the store creates nothing."""
    with pytest.raises(ArtifactError, match="invalid bundle name"):
        write_bundle(tmp_path / "store", name)

    assert not (tmp_path / "store").exists()


def test_failed_staging_removes_its_folder(tmp_path: Path) -> None:
    """A writer that fails leaves the store unchanged."""

    def fail() -> None:
        with stage(tmp_path, "full") as folder:
            (folder / "encoder.onnx").write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_invalid_staged_file_is_not_published(bundle: Bundle) -> None:
    """Every staged file is verified before the bundle is published."""
    store = bundle.folder.parents[1]

    with stage(store, "full") as folder:
        shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
        (folder / "encoder.onnx").write_bytes(b"cut")
        with pytest.raises(ArtifactError, match=r"encoder\.onnx"):
            publish(folder, store, "full")

    assert list_bundles(store) == {"full": [1]}


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(10))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


def _swap(file: Path) -> None:
    file.write_bytes((file.parent / "decoder.onnx").read_bytes())


def _link(file: Path) -> None:
    file.rename(file.parent / "other")
    file.symlink_to(file.parent / "other")


def _remove(file: Path) -> None:
    file.unlink()


def _make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


MODIFICATIONS = [_truncate, _lengthen, _flip, _swap, _link, _remove, _make_folder, _make_pipe]


@pytest.mark.parametrize("modify", MODIFICATIONS)
def test_modified_file_is_rejected(bundle: Bundle, modify: Callable[[Path], None]) -> None:
    """The error names a file of another size or checksum, or one that is not a regular file."""
    modify(bundle.folder / "encoder.onnx")

    with pytest.raises(ArtifactError, match=r"encoder\.onnx"):
        bundle.read("encoder.onnx")


def test_only_listed_files_are_read(bundle: Bundle) -> None:
    """Files that the manifest does not list cannot be read."""
    (bundle.folder / "secret.onnx").write_bytes(b"secret")

    with pytest.raises(ArtifactError, match="not in the manifest"):
        bundle.read("secret.onnx")


@pytest.mark.parametrize("modify", [_truncate, _link, _remove, _make_folder, _make_pipe])
def test_modified_manifest_is_rejected(bundle: Bundle, modify: Callable[[Path], None]) -> None:
    """The error names the bundle and version of an unreadable or incomplete manifest."""
    manifest = bundle.folder / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes().rstrip())
    modify(manifest)

    with pytest.raises(ArtifactError, match="full@1"):
        open_bundle(bundle.folder.parents[1], "full", 1)


def test_wrong_size_in_the_manifest_allocates_no_memory(bundle: Bundle) -> None:
    """A file smaller than its size in the manifest is rejected without allocating that size."""
    file = bundle.folder / MANIFEST_FILE
    manifest = json.loads(file.read_text())
    manifest["files"]["encoder.onnx"]["bytes"] = 10**15
    file.write_text(json.dumps(manifest))
    modified = open_bundle(bundle.folder.parents[1], bundle.name, bundle.version)

    with pytest.raises(ArtifactError, match="differs in size or SHA-256"):
        modified.read("encoder.onnx")


@pytest.mark.parametrize("depth", [0, 1])
def test_linked_bundle_folder_is_rejected(bundle: Bundle, tmp_path: Path, depth: int) -> None:
    """A bundle or version folder that is a link out of the store is rejected."""
    folder = (bundle.folder.parent, bundle.folder)[depth]
    elsewhere = shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)

    with pytest.raises(ArtifactError, match="full@1: the folder is a link out of the store"):
        open_bundle(bundle.folder.parents[1], "full", 1)


def test_store_may_be_a_link(bundle: Bundle, tmp_path: Path) -> None:
    """The store itself may be a symbolic link, as used to switch between stores."""
    link = tmp_path / "current"
    link.symlink_to(bundle.folder.parents[1])

    assert read_all_files(open_bundle(link, "full", 1))


def test_concurrent_writers_publish_complete_bundles(tmp_path: Path) -> None:
    """Concurrent writers of one name get different versions, all of them complete."""
    count = 8
    barrier = threading.Barrier(count)

    def write(_: int) -> int:
        barrier.wait()
        return write_bundle(tmp_path, "full").version

    with ThreadPoolExecutor(count) as pool:
        versions = list(pool.map(write, range(count)))

    assert sorted(versions) == list(range(1, count + 1))
    assert all(read_all_files(open_bundle(tmp_path, "full", version)) for version in versions)


def test_reader_never_sees_an_incomplete_bundle(tmp_path: Path) -> None:
    """Every version listed while a writer publishes can be opened and verified."""
    write_bundle(tmp_path, "full")
    writer = threading.Thread(target=lambda: [write_bundle(tmp_path, "full") for _ in range(20)])
    writer.start()

    seen = set()
    while writer.is_alive():
        newest = list_bundles(tmp_path)["full"][0]
        seen.add((newest, read_all_files(open_bundle(tmp_path, "full", newest))))
    writer.join()

    assert len({files for _, files in seen}) == 1
    assert len(seen) > 1


def test_killed_writer_leaves_the_store_valid(tmp_path: Path) -> None:
    """After SIGKILL at any moment, all listed bundles are complete and writing still works."""
    tests = str(Path(fakes.__file__).parent)
    for pause in (0.0, 0.003, 0.007):
        command = [sys.executable, "-c", WRITER, tests, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()

    versions = list_bundles(tmp_path)["full"]
    assert all(read_all_files(open_bundle(tmp_path, "full", version)) for version in versions)
    assert write_bundle(tmp_path, "full").version == versions[0] + 1
