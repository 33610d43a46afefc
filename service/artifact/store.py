"""The models store: `<store>/<name>/<version>/` with manifest.json and the files it lists.

A store is a folder, or a URL of `service.artifact.remote`.

Writers stage a bundle in a temporary folder of the store and rename it into place, so a reader
sees a complete bundle or none. Readers get bytes with a verified SHA-256, never a path: runtimes
do not open files of a bundle.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from service.artifact.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from service.artifact.specs import FileEntry
from service.errors import ArtifactError

MANIFEST_FILE = "manifest.json"
Store: TypeAlias = Path | str
"""A folder, or the URL of a remote store."""
Fingerprint: TypeAlias = frozenset[tuple[str, int, int, int, int]]
"""Name, inode, size, modification and change time of each file in a version's folder."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,63}")
VERSION = re.compile(r"[1-9][0-9]{0,8}")
# Do not follow symbolic links, and do not block on pipes. Windows has neither flag.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_OPEN_FLAGS |= getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk with a parsed, valid manifest."""

    name: str
    version: int
    folder: Path
    manifest: Manifest
    digest: str
    """`sha256:` and the hex digest of manifest.json, which contains the digest of every file."""

    def read(self, file: str) -> bytes:
        """Return the verified content of a file that the manifest lists.

        Raises:
            ArtifactError: the file is not listed, missing, not a regular file, or differs in size
                or SHA-256.
        """
        entry = self.manifest.files.get(file)
        if entry is None:
            raise ArtifactError(f"{self.name}@{self.version}: {file} is not in the manifest")
        content = _read_regular_file(self.folder / file, entry.bytes)
        if describe_content(content) != entry:
            raise ArtifactError(
                f"{self.name}@{self.version}: {file} differs in size or SHA-256 from the manifest"
            )
        return content


def check_name(name: str) -> str:
    """Return `name` if it is a valid bundle name.

    Raises:
        ArtifactError: it is not.
    """
    if not NAME.fullmatch(name):
        raise ArtifactError(
            f"invalid bundle name {name!r}: expected 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "a letter or digit first, and no '..'"
        )
    return name


def list_bundles(store: Path) -> dict[str, list[int]]:
    """Return the versions of each bundle, highest first, by name in alphabetical order.

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
        folders = sorted(path for path in store.iterdir() if NAME.fullmatch(path.name))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"the models store {store} does not exist: set LATENTD_MODELS_STORE to a folder of "
            "bundles or to a URL; `latentd train` creates one"
        ) from error
    except OSError as error:
        raise ArtifactError(f"the models store {store} cannot be read: {error}") from error
    bundles: dict[str, list[int] | ArtifactError] = {}
    for folder in folders:
        try:
            versions = _list_versions(folder) if folder.is_dir() else []
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
    """Read and validate the manifest of a bundle; `Bundle.read` verifies its files.

    Raises:
        ArtifactError: the bundle does not exist, is outside the store or has an invalid manifest.
    """
    folder = store / name / str(version)
    if not folder.resolve().is_relative_to(store.resolve()):
        raise ArtifactError(f"{name}@{version}: the folder is a link out of the store")
    return open_folder(folder, name, version)


@contextlib.contextmanager
def stage(store: Store, name: str) -> Iterator[Path]:
    """Create a temporary folder for a new bundle, in a local store itself; remove it at the end.

    Raises:
        ArtifactError: `name` is not a valid bundle name.
    """
    check_name(name)
    if isinstance(store, Path):
        store.mkdir(parents=True, exist_ok=True)
    parent = store if isinstance(store, Path) else None
    folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; its `files` must describe the files in `folder`."""
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")


def describe_content(content: bytes) -> FileEntry:
    """Return the manifest entry of a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def publish(folder: Path, store: Store, name: str) -> Bundle:
    """Move a staged bundle atomically to the next free version of `name`.

    Raises:
        ArtifactError: the staged bundle is incomplete or invalid, or a remote store cannot be used.
        MissingExtraError: a remote store needs a library that is not installed.
    """
    staged = open_folder(folder, check_name(name), 0)
    for file in staged.manifest.files:
        staged.read(file)
    if isinstance(store, str):
        from service.artifact.remote.upload import upload  # noqa: PLC0415 - imports this module

        return replace(staged, version=upload(staged, store))
    for path in (*folder.iterdir(), folder):
        _sync(path)
    home = store / name
    home.mkdir(exist_ok=True)
    version = max(_list_versions(home), default=0) + 1
    while True:
        try:
            folder.rename(home / str(version))
            break
        except OSError:
            # Renaming onto a folder that is not empty fails: another writer took the version.
            if not (home / str(version)).exists():
                raise
            version += 1
    _sync(home)
    return open_bundle(store, name, version)


def _list_versions(home: Path) -> list[int]:
    versions = (int(path.name) for path in home.iterdir() if VERSION.fullmatch(path.name))
    return sorted(versions, reverse=True)


def fingerprint(folder: Path) -> Fingerprint:
    """Return a value that changes whenever a version's files do, without reading them.

    Times are compared for equality only, because clocks jump. All files count, not only the
    manifest, because a bundle may be copied into the store file by file.
    """
    try:
        with os.scandir(folder) as entries:
            stats = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return frozenset()
    return frozenset(
        (name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for name, stat in stats
    )


def open_folder(folder: Path, name: str, version: int) -> Bundle:
    """Read and validate the manifest in a folder.

    Raises:
        ArtifactError: it is missing or invalid.
    """
    try:
        content = _read_regular_file(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(content)
    except ArtifactError as error:
        raise ArtifactError(f"{name}@{version}: {error}") from error
    return Bundle(name, version, folder, manifest, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read up to `max_bytes + 1` bytes: the extra byte reveals a file that is too long.

    The checks apply to the opened file, so it cannot be exchanged in between. Hard links are
    rejected: anyone may create one to a file that only the service can read.
    """
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, _OPEN_FLAGS)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise ArtifactError(f"{path.name} is not a regular file with a single link")
            # `read` allocates its argument first, and the size in a manifest may be wrong.
            return file.read(min(max_bytes, status.st_size) + 1)
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
