"""What lies in the models store: finds versions, loads them aside, remembers what it refused.

The registry holds what is served; here is where it comes from.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from service.artifact import list_bundles, open_bundle
from service.errors import ArtifactError, LatentdError
from service.inference.model import Model, load_model
from service.observability.metrics import RELOADS
from service.runtimes import Runtime

Key: TypeAlias = tuple[str, int]
"""A bundle's name and version."""
Identity: TypeAlias = frozenset[tuple[str, int, int, int, int]]

_log = logging.getLogger(__name__)


class Repository:
    """The models store, seen by one thread at a time."""

    def __init__(self, store: Path, runtime_for: Callable[[str], Runtime]) -> None:
        """Read nothing yet.

        Args:
            store: The models store.
            runtime_for: Gives the backend for a bundle's name.
        """
        self.store = store
        self._runtime_for = runtime_for
        self._seen: dict[Key, Identity] = {}
        self._refused: Mapping[Key, str] = {}

    @property
    def refused(self) -> Mapping[Key, str]:
        """What must not be served, and why. Replaced, never changed: any thread may read it."""
        return self._refused

    def survey(self) -> dict[str, list[int]]:
        """Return each bundle's versions, highest first; names in order.

        Raises:
            ArtifactError: the store cannot be read, or is empty.
        """
        bundles = list_bundles(self.store)
        if not bundles:
            raise ArtifactError(f"the models store {self.store} holds no bundle to serve")
        return bundles

    def obtain(self, key: Key, held: Model | None) -> Model | None:
        """Return what should be served of a version: `held` where nothing changed on disk.

        A version that must not be served is refused once, with a log line, and tried again only
        when its files have changed; meanwhile `held` goes on serving, or None.

        Args:
            key: The version.
            held: What is served of it now.
        """
        identity = _identify(self.store / key[0] / str(key[1]))
        is_decided = held is not None or key in self._refused
        if is_decided and identity == self._seen.get(key):
            return held
        self._seen[key] = identity
        try:
            model = self.load(key, held)
        except LatentdError as error:
            _log.error("refused %s%s", error, _explain(error))
            self._refused = {**self._refused, key: str(error)}
            RELOADS.labels("refused").inc()
            return held
        self._refused = {other: why for other, why in self._refused.items() if other != key}
        return model

    def load(self, key: Key, held: Model | None = None) -> Model:
        """Read, check, load, warm and time a version; return `held` if it is the same.

        Raises:
            ArtifactError: it must not be served.
            MissingExtraError: its backend is not installed.
        """
        name, version = key
        self._seen[key] = _identify(self.store / name / str(version))
        bundle = open_bundle(self.store, name, version)
        if held is not None and held.bundle.digest == bundle.digest:
            return held
        model = load_model(bundle, self._runtime_for(name))
        _log.info("loaded %s backend=%s", model.reference, model.backend)
        return model

    def forget(self, unwanted: Callable[[Key], bool]) -> None:
        """Forget what was seen and refused of some versions, which are then tried anew."""
        self._seen = {key: seen for key, seen in self._seen.items() if not unwanted(key)}
        self._refused = {key: why for key, why in self._refused.items() if not unwanted(key)}


def _identify(folder: Path) -> Identity:
    """Return what changes whenever a version's files do, without reading them.

    Times are compared for being the same, never for which is later: clocks jump. All files count
    and not the manifest alone, as a bundle may be copied into the store file by file.
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


def _explain(error: LatentdError) -> str:
    """Return a library's own words on why a graph was refused; they are for the log alone."""
    cause: BaseException | None = error
    while isinstance(cause, LatentdError):
        cause = cause.__cause__
    return "" if cause is None else f" ({type(cause).__name__}: {str(cause)[:400]!r})"
