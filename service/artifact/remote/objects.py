"""Access to the objects of a remote models store, `<url>/<name>/<version>/<file>`."""

import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from service.artifact.store import MANIFEST_FILE, NAME, VERSION
from service.errors import ArtifactError, MissingExtraError

Versions: TypeAlias = Mapping[tuple[str, int], Mapping[str, str]]
"""The objects of each version: file name and a text that changes with the object."""

_RETRY_SECONDS = (0.1, 0.4, 1.6)
"""Pauses before further attempts; the libraries of some protocols also retry themselves."""
_S3_OPTIONS = {
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 30,
        "retries": {"total_max_attempts": 2, "mode": "standard"},
    }
}
"""botocore alone would try an unreachable endpoint for minutes, while the copies could serve."""
_CLAIM_FILE = ".claim"

T = TypeVar("T")


class ObjectStore:
    """The objects below a URL. Credentials and endpoints come from the protocol's environment.

    Every method that sends requests raises MissingExtraError if a library is not installed.
    """

    def __init__(self, url: str) -> None:
        """Keep a URL such as `s3://bucket/prefix`."""
        self.url = re.sub(r"//[^/@]*@", "//", url)
        """The URL without a password."""
        self._location = url

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec and the path in it, opened late: imports take a second."""
        protocol = self._location.partition("://")[0]
        options: dict[str, Any] = _S3_OPTIONS if protocol in {"s3", "s3a"} else {}
        try:
            import fsspec  # noqa: PLC0415 - an extra

            # Caches of file systems and listings would hide new objects.
            files, root = fsspec.url_to_fs(
                self._location, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            raise MissingExtraError(
                f"the models store {self.url} needs a library that is not installed ({error}): "
                "pip install 'latentd[remote]', which has s3fs; gs:// needs gcsfs, az:// adlfs, "
                "hf:// huggingface_hub"
            ) from error
        except ValueError as error:
            raise ArtifactError(
                f"the models store {self.url} cannot be opened ({error}): expected a folder, or a "
                "URL of s3, gs, az, hf, http, https or another protocol of fsspec"
            ) from error
        return files, str(root).rstrip("/")

    def check(self) -> None:
        """Check the URL without a request.

        Raises:
            MissingExtraError: the library of the protocol is not installed.
            ArtifactError: the protocol is unknown.
        """
        _ = self._opened

    def list_versions(self) -> Versions:
        """Return all versions with their objects; one request per 1,000 objects.

        Raises:
            ArtifactError: the store cannot be read.
        """
        files, root = self._opened
        found = self._retry("read", lambda: files.find(root, detail=True))
        versions: dict[tuple[str, int], dict[str, str]] = {}
        for path, info in found.items():
            name, _, rest = path.removeprefix(root).strip("/").partition("/")
            version, _, file = rest.partition("/")
            if NAME.fullmatch(name) and VERSION.fullmatch(version):
                versions.setdefault((name, int(version)), {})[file] = _describe(info)
        return versions

    def download(self, name: str, version: int, file: str, target: Path) -> None:
        """Copy an object into a local file.

        Raises:
            ArtifactError: the object is missing, or the store cannot be read.
        """
        files, root = self._opened
        path = f"{root}/{name}/{version}/{file}"
        self._retry("read", lambda: files.get_file(path, str(target)))

    def claim(self, name: str, version: int) -> bool:
        """Reserve a version for one writer; return whether no other writer has reserved it.

        Atomic where the protocol has conditional writes, as S3 and Google Cloud Storage.

        Raises:
            ArtifactError: the store cannot be written.
        """
        files, root = self._opened
        path = f"{root}/{name}/{version}/{_CLAIM_FILE}"

        def create() -> bool:
            try:
                files.pipe_file(path, b"claimed", mode="create")
            except FileExistsError:
                return False
            return True

        return self._retry("written", create)

    def upload(self, folder: Path, name: str, version: int, file: str) -> None:
        """Copy a file of a local folder into an object.

        Raises:
            ArtifactError: the store cannot be written.
        """
        files, root = self._opened
        path = f"{root}/{name}/{version}/{file}"
        self._retry("written", lambda: files.put_file(str(folder / file), path))

    def _retry(self, verb: str, action: Callable[[], T]) -> T:
        """Return the result of an action, which is repeated with increasing pauses if it fails."""
        for pause in (*_RETRY_SECONDS, None):
            try:
                return action()
            except Exception as error:  # every protocol has exceptions of its own
                if pause is None or isinstance(error, (FileNotFoundError, PermissionError)):
                    raise ArtifactError(
                        f"the models store {self.url} cannot be {verb}: "
                        f"{type(error).__name__}: {error}"
                    ) from error
            time.sleep(pause)
        raise AssertionError  # the last attempt returns or raises


def is_complete(objects: Mapping[str, str]) -> bool:
    """Return whether a version's upload has ended: its manifest, the last file, is there."""
    return MANIFEST_FILE in objects


def _describe(info: Mapping[str, Any]) -> str:
    """Return the metadata of an object as text; the members depend on the protocol."""
    return repr(sorted((key, str(value)) for key, value in info.items()))
