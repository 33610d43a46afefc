"""What is served, and how that changes: at the start, by watching the store, by request."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.artifact.manifest import NetworkName
from service.errors import (
    ArtifactError,
    ModelNotFoundError,
    NotReadyError,
    UnsupportedOperationError,
)
from service.inference.model import Model
from service.inference.model_loading import Key, Repository
from service.inference.served import Models, Served
from service.observability.metrics import RELOADS, add_model_info, remove_model_info
from service.runtimes import Runtime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """A version in the repository's index."""

    name: str
    version: int
    networks: tuple[NetworkName, ...]
    """Of a version that is not served: its successors'; empty where they are not known."""
    is_ready: bool
    reason: str
    """What is wrong with what lies in the store; empty where nothing is."""


class Registry(Served):
    """The models that are served, and the one place that changes them."""

    def __init__(
        self,
        store: Path,
        runtime_for: Callable[[str], Runtime],
        versions: int,
        *,
        default: str | None = None,
        skip_broken_models: bool = False,
    ) -> None:
        """Prepare an empty registry.

        Args:
            store: The models store.
            runtime_for: Gives the backend for a bundle's name.
            versions: How many of each name's highest versions are served, at least 1.
            default: Name of the model that answers when none is asked for; None for the
                first name in order.
            skip_broken_models: Serve the other models if a bundle is broken, instead of none.
        """
        super().__init__(default)
        self._repository = Repository(store, runtime_for)
        self._versions = versions
        self._skip_broken_models = skip_broken_models
        self._writing = threading.Lock()
        self._missing: Mapping[Key, str] | None = None
        self._unloaded: Mapping[str, tuple[Listing, ...]] = {}
        self._trouble = ""

    def load(self) -> None:
        """Load and warm every model that should be served, at the start.

        Raises:
            ArtifactError: the store is empty or unreadable, a bundle in it must not be
                served, or the default model is not there.
        """
        with self._writing:
            found = self._repository.survey()
            if self._default is not None and self._default not in found:
                raise ArtifactError(
                    f"the default model {self._default!r} is not in {self._repository.store}; "
                    f"there are {', '.join(found)}"
                )
            models = {
                name: self._gather(name, versions)
                if self._skip_broken_models
                else self._take(name, versions)
                for name, versions in found.items()
            }
            if not any(models.values()):
                raise ArtifactError("; ".join(self._repository.refused.values()))
            self._swap(models)

    def refresh(self) -> None:
        """Bring what is served up to what the store holds; cheap where nothing changed.

        New versions are loaded aside and swapped in together, versions that are gone dropped. A
        version that must not be served is left out and the ones before it serve on. A store that
        cannot be read or is empty changes nothing, and is told by `is_degraded`.
        """
        with self._writing:
            try:
                found = self._repository.survey()
            except ArtifactError as error:
                self._worsen(str(error))
                return
            self._worsen("")
            self._repository.forget(lambda key: key[1] not in found.get(key[0], ()))
            self._swap(
                {
                    name: self._gather(name, versions)
                    for name, versions in found.items()
                    if name not in self._unloaded
                }
            )

    def reload(self, name: str) -> None:
        """Bring one bundle up to what the store holds, now, and after an `unload` too.

        Raises:
            ModelNotFoundError: the store holds no bundle of that name.
            UnsupportedOperationError: its highest version is rejected; earlier ones stay loaded.
            NotReadyError: the store cannot be read.
        """
        with self._writing:
            try:
                found = self._repository.survey()
            except ArtifactError as error:
                self._worsen(str(error))
                raise NotReadyError("the models store cannot be read") from error
            if name not in found:
                raise ModelNotFoundError(f"the models store holds no bundle {name!r:.80}")
            self._unloaded = {other: was for other, was in self._unloaded.items() if other != name}
            self._repository.forget(lambda key: key[0] == name)
            self._swap({**self._models, name: self._gather(name, found[name])})
        reason = self._repository.refused.get((name, found[name][0]))
        if reason is not None:
            raise UnsupportedOperationError(reason)

    def unload(self, name: str) -> None:
        """Serve a bundle no more until it is loaded again; requests in flight are finished.

        Raises:
            ModelNotFoundError: it is not served.
        """
        with self._writing:
            if name in self._unloaded:
                return
            if name not in self._models:
                raise ModelNotFoundError(f"no bundle {name!r:.80} is served")
            was = tuple(
                Listing(name, number, tuple(model.networks), is_ready=False, reason="unloaded")
                for number, model in self._models[name].items()
            )
            self._unloaded = {**self._unloaded, name: was}
            self._swap({other: kept for other, kept in self._models.items() if other != name})

    def _take(self, name: str, versions: Sequence[int]) -> dict[int, Model]:
        """Return the highest versions of a name, each of which must be good."""
        top = versions[: self._versions]
        return {number: self._repository.load((name, number)) for number in top}

    def _gather(self, name: str, versions: Sequence[int]) -> dict[int, Model]:
        """Return the highest versions of a name that may be served."""
        held = self._models.get(name, {})
        good: dict[int, Model] = {}
        for number in versions:
            model = self._repository.obtain((name, number), held.get(number))
            if model is not None:
                good[number] = model
            if len(good) == self._versions:
                break
        return good

    def _swap(self, models: Models) -> None:
        """Serve other models from now on; those of names without any are left out."""
        before = {model.reference: model for model in self._served()}
        self._models = {name: models[name] for name in sorted(models) if models[name]}
        after = {model.reference: model for model in self._served()}
        for reference, model in before.items():
            if after.get(reference) is not model:
                _log.info("dropped %s", reference)
                remove_model_info(*_label(model))
        for reference, model in after.items():
            if before.get(reference) is not model:
                add_model_info(*_label(model))
                if self._missing is not None:
                    RELOADS.labels("loaded").inc()
        if self._missing is None and after:
            self._missing = self._repository.refused if self._skip_broken_models else {}

    def _worsen(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.error("%s; what is loaded serves on", trouble)
        self._trouble = trouble

    @property
    def is_degraded(self) -> bool:
        """Whether the store could not be read, or was empty, when it was last looked at."""
        return bool(self._trouble)

    @property
    def missing(self) -> list[str]:
        """What should be served since the start and is not, each with the reason."""
        if self._missing is None:
            return ["every model: not loaded yet"]
        refused = self._repository.refused
        return [
            f"{name}@{version}: {refused[name, version]}"
            for name, version in self._missing
            if (name, version) in refused and name not in self._unloaded
        ]

    def index(self) -> list[Listing]:
        """Return what is served, refused and unloaded, by name and version."""
        models, refused, unloaded = self._models, self._repository.refused, self._unloaded
        listings = [listing for was in unloaded.values() for listing in was]
        for name, versions in models.items():
            for number, model in versions.items():
                reason = refused.get((name, number), "")
                networks = tuple(model.networks)
                listings.append(Listing(name, number, networks, is_ready=True, reason=reason))
        for (name, number), reason in refused.items():
            held = models.get(name, {})
            if name not in unloaded and number not in held:
                networks = tuple(next(iter(held.values())).networks) if held else ()
                listings.append(Listing(name, number, networks, is_ready=False, reason=reason))
        return sorted(listings, key=lambda listing: (listing.name, listing.version))


def _label(model: Model) -> tuple[str, int, str, str]:
    """Return a model's labels in the metrics."""
    return model.bundle.name, model.bundle.version, model.backend, model.bundle.digest
