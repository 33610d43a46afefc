"""A local copy of the newest versions of a remote models store."""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.artifact.remote.objects import ObjectStore, is_complete
from service.artifact.store import (
    MANIFEST_FILE,
    Bundle,
    Fingerprint,
    fingerprint,
    list_bundles,
    open_bundle,
    open_folder,
)
from service.errors import ArtifactError

_MARKER_FILE = ".remote"
"""Digest of the listed objects that a version was copied from."""
_ATTEMPTS = 3
"""Copies of a version whose files differ from its manifest, before it is kept as it is."""

_log = logging.getLogger(__name__)
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies versions of a remote store into a folder; processes may share the folder."""

    store: ObjectStore
    folder: Path
    versions: int
    """Intact versions to copy of each name, the highest first."""
    max_bytes: int
    """Size of all copies."""
    _checked: dict[_Key, tuple[str, Fingerprint, bool]] = field(default_factory=dict)
    """Versions that this process has verified: source, files, and whether they are intact."""
    _problems: dict[_Key, str] = field(default_factory=dict)
    """Versions that cannot be copied, with the reason, which is logged once."""

    def update(self) -> str:
        """Copy new versions and remove deleted ones; return why that is impossible, or "".

        A version whose objects still differ from its manifest after several attempts is copied as
        it is: the registry rejects it and reports the reason, as in a local store. Copies stay
        until the size bound needs their place, so that a rejected version has a predecessor.
        """
        try:
            with self._lock():
                listed = self.store.list_versions()
                complete = {key: files for key, files in listed.items() if is_complete(files)}
                if not complete:
                    return f"the models store {self.store.url} contains no bundle"
                self._copy_newest(complete)
                for key in self._list_copies() - complete.keys():
                    self._remove(key)
        except ArtifactError as error:
            return str(error)
        except OSError as error:
            return f"the cache {self.folder} cannot be used (LATENTD_STORE_CACHE): {error}"
        return ""

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes, which would download the same files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            with contextlib.suppress(ImportError):
                import fcntl  # noqa: PLC0415 - not on Windows, which has no worker processes

                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _copy_newest(self, complete: Mapping[_Key, Mapping[str, str]]) -> None:
        names = sorted({name for name, _ in complete})
        versions = {
            name: sorted((version for other, version in complete if other == name), reverse=True)
            for name in names
        }
        newest = {(name, version) for name in names for version in versions[name][: self.versions]}
        for name in names:
            intact = 0
            for version in versions[name]:
                intact += self._copy((name, version), complete[name, version], newest)
                if intact == self.versions:
                    break

    def _copy(self, key: _Key, objects: Mapping[str, str], newest: set[_Key]) -> bool:
        """Copy a version unless its copy is current; return whether it is intact."""
        source = hashlib.sha256(repr(sorted(objects.items())).encode()).hexdigest()
        copy = self._locate(key)
        checked = self._checked.get(key)
        if checked is not None and checked[:2] == (source, fingerprint(copy)):
            return checked[2]
        try:
            intact = self._is_current(key, source) or self._download(key, source, newest)
        except ArtifactError as error:
            if self._problems.get(key) != str(error):
                _log.error("cannot copy %s@%d: %s", *key, error)
            self._problems[key] = str(error)
            return False
        self._problems.pop(key, None)
        self._checked[key] = source, fingerprint(copy), intact
        return intact

    def _is_current(self, key: _Key, source: str) -> bool:
        """Return whether the copy has this source and is intact."""
        marker = self._locate(key) / _MARKER_FILE
        with contextlib.suppress(OSError, ArtifactError):
            return marker.read_text() == source and _is_intact(open_bundle(self.folder, *key))
        return False

    def _download(self, key: _Key, source: str, newest: set[_Key]) -> bool:
        """Download a version and put it in place; return whether it is intact.

        Raises:
            ArtifactError: the store cannot be read, or the version exceeds the size bound.
        """
        intact = False
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.folder))
        try:
            for _ in range(_ATTEMPTS):
                intact = self._download_files(key, staging, newest)
                if intact:
                    break
            (staging / _MARKER_FILE).write_text(source)
            staging.chmod(0o755)
            self._install(staging, self._locate(key))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        _log.info("copied %s@%d from %s", *key, self.store.url)
        return intact

    def _download_files(self, key: _Key, staging: Path, newest: set[_Key]) -> bool:
        self.store.download(*key, MANIFEST_FILE, staging / MANIFEST_FILE)
        try:
            bundle = open_folder(staging, *key)
        except ArtifactError:
            return False
        size = sum(entry.bytes for entry in bundle.manifest.files.values())
        self._make_room(size + (staging / MANIFEST_FILE).stat().st_size, newest)
        for file in bundle.manifest.files:
            self.store.download(*key, file, staging / file)
        return _is_intact(bundle)

    def _install(self, staging: Path, target: Path) -> None:
        """Move a version into place, file by file over an earlier copy, which readers may use."""
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            staging.rename(target)
            return
        last = (MANIFEST_FILE, _MARKER_FILE)
        for path in sorted(staging.iterdir(), key=lambda path: (path.name in last, path.name)):
            path.replace(target / path.name)

    def _make_room(self, needed: int, newest: set[_Key]) -> None:
        """Remove copies, the lowest versions first and none of `newest`, until a version fits.

        Raises:
            ArtifactError: it does not fit.
        """
        sizes = {key: _measure(self._locate(key)) for key in self._list_copies()}
        for key in sorted(sizes.keys() - newest, key=lambda key: key[1]):
            if sum(sizes.values()) + needed <= self.max_bytes:
                return
            self._remove(key)
            del sizes[key]
        if sum(sizes.values()) + needed > self.max_bytes:
            raise ArtifactError(
                f"its {needed} bytes and the {sum(sizes.values())} bytes of other versions exceed "
                f"{self.max_bytes} bytes (LATENTD_STORE_CACHE_BYTES)"
            )

    def _list_copies(self) -> set[_Key]:
        bundles = list_bundles(self.folder)
        return {(name, version) for name, versions in bundles.items() for version in versions}

    def _remove(self, key: _Key) -> None:
        shutil.rmtree(self._locate(key), ignore_errors=True)
        self._checked.pop(key, None)

    def _locate(self, key: _Key) -> Path:
        return self.folder / key[0] / str(key[1])


def locate_cache(url: str, folder: Path | None) -> Path:
    """Return the folder for copies of a store: `folder`, or one in the user's cache."""
    if folder is not None:
        return folder
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "latentd" / digest


def _is_intact(bundle: Bundle) -> bool:
    try:
        for file in bundle.manifest.files:
            bundle.read(file)
    except ArtifactError:
        return False
    return True


def _measure(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries)
