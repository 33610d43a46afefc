"""The models store: `<store>/<name>/<version>/` with manifest.json and the files it lists.

Writers stage a whole bundle in a temporary folder of the store and rename it into place, so a
reader sees all of a bundle or nothing. Readers get bytes whose sha256 was checked, never a path:
no runtime opens a file of a bundle by itself.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.artifact.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest, parse_manifest
from service.errors import ArtifactError

MANIFEST_FILE = "manifest.json"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,63}")
# No symbolic link is followed, and no pipe waited for. Windows has neither flag.
_READ_PLAIN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_READ_PLAIN |= getattr(os, "O_BINARY", 0)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest was read and is valid."""

    name: str
    version: int
    folder: Path
    manifest: Manifest
    digest: str
    """`sha256:` and the hex digest of manifest.json, which in turn pins every file."""

    def read(self, file: str) -> bytes:
        """Return the content of one of the manifest's files.

        Raises:
            ArtifactError: the file is missing, not a plain file, or not the one listed.
        """
        entry = self.manifest.files.get(file)
        if entry is None:
            raise ArtifactError(f"{self.name}@{self.version}: {file} is not in the manifest")
        content = _read_plain_file(self.folder / file, entry.bytes)
        if describe_content(content) != entry:
            raise ArtifactError(
                f"{self.name}@{self.version}: {file} is not the file that the manifest lists "
                f"(size or sha256 differs)"
            )
        return content


def check_name(name: str) -> str:
    """Return `name` if it can name a bundle.

    Raises:
        ArtifactError: it is not 1 to 64 of a-z 0-9 . _ - starting with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise ArtifactError(
            f"{name!r} cannot name a bundle: use up to 64 of a-z, 0-9, '.', '_' and '-'"
        )
    return name


def list_bundles(store: Path) -> dict[str, list[int]]:
    """Return each bundle's versions, highest first; names in order.

    Raises:
        ArtifactError: The store, or a bundle's folder in it, cannot be read.
    """
    bundles = {}
    for name, versions in survey(store).items():
        if isinstance(versions, ArtifactError):
            raise versions
        bundles[name] = versions
    return bundles


def survey(store: Path) -> dict[str, list[int] | ArtifactError]:
    """Return each bundle's versions, highest first, or the error of its folder; names in order.

    Raises:
        ArtifactError: The store is not a folder that can be read.
    """
    try:
        folders = sorted(path for path in store.iterdir() if _NAME.fullmatch(path.name))
    except OSError as error:
        raise ArtifactError(f"the models store {store} cannot be read: {error}") from error
    bundles: dict[str, list[int] | ArtifactError] = {}
    for folder in folders:
        try:
            versions = _versions(folder) if folder.is_dir() else []
        except FileNotFoundError:  # removed since the store was listed
            continue
        except OSError as error:
            text = f"{folder.name}: the folder cannot be read: {error.strerror}"
            bundles[folder.name] = ArtifactError(text)
        else:
            if versions:
                bundles[folder.name] = versions
    return bundles


def open_bundle(store: Path, name: str, version: int) -> Bundle:
    """Read and check a bundle's manifest; its files are checked as they are read.

    Raises:
        ArtifactError: there is no such bundle, or its manifest is invalid.
    """
    folder = store / name / str(version)
    if not folder.resolve().is_relative_to(store.resolve()):
        raise ArtifactError(f"{name}@{version}: its folder leads out of the store")
    return _open_folder(folder, name, version)


@contextlib.contextmanager
def stage(store: Path, name: str) -> Iterator[Path]:
    """Give a temporary folder in the store to write a bundle into; it is gone afterwards.

    Raises:
        ArtifactError: `name` cannot name a bundle.
    """
    check_name(name)
    store.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=store))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, whose `files` must describe the files that lie in `folder`."""
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")


def describe_content(content: bytes) -> FileEntry:
    """Return the manifest entry of a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def publish(folder: Path, store: Path, name: str) -> Bundle:
    """Move a staged bundle to the next free version of `name`, in one step.

    Raises:
        ArtifactError: what is staged is not a whole, valid bundle.
    """
    staged = _open_folder(folder, check_name(name), 0)
    for file in staged.manifest.files:
        staged.read(file)
    _sync_folder(folder)
    home = store / name
    home.mkdir(exist_ok=True)
    version = max(_versions(home), default=0) + 1
    while True:
        try:
            folder.rename(home / str(version))
            break
        except OSError:
            # A rename onto a folder that is not empty fails: another writer took the version.
            if not (home / str(version)).exists():
                raise
            version += 1
    _sync(home)
    return open_bundle(store, name, version)


def _versions(home: Path) -> list[int]:
    return sorted(
        (int(path.name) for path in home.iterdir() if _VERSION.fullmatch(path.name)), reverse=True
    )


def _open_folder(folder: Path, name: str, version: int) -> Bundle:
    try:
        content = _read_plain_file(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(content)
    except ArtifactError as error:
        raise ArtifactError(f"{name}@{version}: {error}") from error
    return Bundle(name, version, folder, manifest, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _read_plain_file(path: Path, most: int) -> bytes:
    """Read up to one byte over `most`, so that a longer file is told from the one wanted.

    What was opened is what is checked. A file with a second name elsewhere (a hard link) is not
    the store's alone, and may be one that its writer could not have read.
    """
    try:
        with open(path, "rb", opener=_open_plain) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise ArtifactError(f"{path.name} is not a plain file of its own")
            # The memory for it is taken first, and `most` may be a manifest's lie.
            return file.read(min(most, found.st_size) + 1)
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read: {error.strerror}") from error


def _open_plain(path: str, _: int) -> int:
    return os.open(path, _READ_PLAIN)


def _sync_folder(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
