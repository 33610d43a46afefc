"""The store: whole bundles or nothing, whoever writes at the same time and whenever he dies."""

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


def read_whole(bundle: Bundle) -> int:
    """Read every file of a bundle, which checks its checksum; return how many."""
    return len([bundle.read(file) for file in bundle.manifest.files])


def test_versions_count_up(tmp_path: Path) -> None:
    """Each bundle published under a name gets the next version; the highest is listed first."""
    versions = [write_bundle(tmp_path, "full").version for _ in range(3)]
    write_bundle(tmp_path, "colour")

    assert versions == [1, 2, 3]
    assert list_bundles(tmp_path) == {"colour": [1], "full": [3, 2, 1]}


def test_versions_are_numbers_and_not_words(tmp_path: Path) -> None:
    """Version 10 is higher than 9."""
    write_bundle(tmp_path, "full")
    (tmp_path / "full" / "1").rename(tmp_path / "full" / "9")

    write_bundle(tmp_path, "full")

    assert list_bundles(tmp_path)["full"] == [10, 9]


def test_what_is_no_bundle_is_not_listed(bundle: Bundle) -> None:
    """Files, hidden folders, bad names and versions that are no numbers are passed over."""
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


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be read is told from an empty one."""
    with pytest.raises(ArtifactError, match="cannot be read"):
        list_bundles(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "Full", "a..b", "-a", "a" * 65, "a\n"])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    """A name that could lead out of the store cannot be published, and nothing is made."""
    with pytest.raises(ArtifactError, match="cannot name a bundle"):
        write_bundle(tmp_path / "store", name)

    assert not (tmp_path / "store").exists()


def test_staging_leaves_nothing_behind(tmp_path: Path) -> None:
    """A writer that fails leaves a store as it was."""

    def fail() -> None:
        with stage(tmp_path, "full") as folder:
            (folder / "encoder.onnx").write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_bundle_is_not_published(bundle: Bundle) -> None:
    """What was staged is checked before it is published, file by file."""
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


SPOILERS = [_truncate, _lengthen, _flip, _swap, _link, _remove, _make_folder, _make_pipe]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_file_that_is_not_the_listed_one_is_refused(
    bundle: Bundle, spoil: Callable[[Path], None]
) -> None:
    """A file of another size or checksum, or that is no plain file, is refused by its name."""
    spoil(bundle.folder / "encoder.onnx")

    with pytest.raises(ArtifactError, match=r"encoder\.onnx"):
        bundle.read("encoder.onnx")


def test_only_listed_files_are_read(bundle: Bundle) -> None:
    """A file that the manifest does not list cannot be reached."""
    (bundle.folder / "secret.onnx").write_bytes(b"secret")

    with pytest.raises(ArtifactError, match="not in the manifest"):
        bundle.read("secret.onnx")


@pytest.mark.parametrize("spoil", [_truncate, _link, _remove, _make_folder, _make_pipe])
def test_a_spoiled_manifest_is_refused(bundle: Bundle, spoil: Callable[[Path], None]) -> None:
    """A bundle whose manifest is no plain, whole file is refused by name and version."""
    manifest = bundle.folder / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes().rstrip())
    spoil(manifest)

    with pytest.raises(ArtifactError, match="full@1"):
        open_bundle(bundle.folder.parents[1], "full", 1)


def test_a_size_that_lies_takes_no_memory(bundle: Bundle) -> None:
    """A file that the manifest calls huge is refused for what it is, without so much memory."""
    file = bundle.folder / MANIFEST_FILE
    manifest = json.loads(file.read_text())
    manifest["files"]["encoder.onnx"]["bytes"] = 10**15
    file.write_text(json.dumps(manifest))
    lying = open_bundle(bundle.folder.parents[1], bundle.name, bundle.version)

    with pytest.raises(ArtifactError, match="not the file that the manifest lists"):
        lying.read("encoder.onnx")


@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_that_leads_out_of_the_store_is_refused(
    bundle: Bundle, tmp_path: Path, depth: int
) -> None:
    """A bundle's folder, or a version's, that is a link to elsewhere is refused."""
    folder = (bundle.folder.parent, bundle.folder)[depth]
    elsewhere = shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)

    with pytest.raises(ArtifactError, match="full@1: its folder leads out of the store"):
        open_bundle(bundle.folder.parents[1], "full", 1)


def test_a_store_may_be_a_link(bundle: Bundle, tmp_path: Path) -> None:
    """The store itself may be reached through a link, as where an operator switches stores."""
    link = tmp_path / "current"
    link.symlink_to(bundle.folder.parents[1])

    assert read_whole(open_bundle(link, "full", 1))


def test_racing_writers_each_publish_a_whole_bundle(tmp_path: Path) -> None:
    """Writers of one name at one time get different versions, each of them whole."""
    count = 8
    barrier = threading.Barrier(count)

    def write(_: int) -> int:
        barrier.wait()
        return write_bundle(tmp_path, "full").version

    with ThreadPoolExecutor(count) as pool:
        versions = list(pool.map(write, range(count)))

    assert sorted(versions) == list(range(1, count + 1))
    assert all(read_whole(open_bundle(tmp_path, "full", version)) for version in versions)


def test_a_reader_never_sees_half_a_bundle(tmp_path: Path) -> None:
    """Whatever is listed while a writer publishes can be opened and read whole."""
    write_bundle(tmp_path, "full")
    writer = threading.Thread(target=lambda: [write_bundle(tmp_path, "full") for _ in range(20)])
    writer.start()

    seen = set()
    while writer.is_alive():
        newest = list_bundles(tmp_path)["full"][0]
        seen.add((newest, read_whole(open_bundle(tmp_path, "full", newest))))
    writer.join()

    assert len({files for _, files in seen}) == 1
    assert len(seen) > 1


def test_a_killed_writer_leaves_the_store_valid(tmp_path: Path) -> None:
    """After `kill -9` at any moment the listed bundles are whole and writing goes on."""
    tests = str(Path(fakes.__file__).parent)
    for pause in (0.0, 0.003, 0.007):
        command = [sys.executable, "-c", WRITER, tests, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()

    versions = list_bundles(tmp_path)["full"]
    assert all(read_whole(open_bundle(tmp_path, "full", version)) for version in versions)
    assert write_bundle(tmp_path, "full").version == versions[0] + 1
