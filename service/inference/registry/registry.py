"""The registry: the loaded models, with lookup by name and version.

The registry holds one immutable snapshot. A change makes another snapshot and replaces the
reference in one assignment. Lookups are therefore lock-free, and a request keeps its model.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from service.artifact.specs import SpaceName
from service.errors import (
    ArtifactError,
    ModelNotFoundError,
    NotReadyError,
    UnsupportedOperationError,
)
from service.inference.model import Model
from service.inference.registry.reconcile import ModelStore, reconcile
from service.inference.registry.snapshot import Models, Snapshot, VersionState
from service.inference.registry.trial import Trial
from service.observability.metrics import RELOADS, add_model_info, remove_model_info
from service.runtimes import Runtime

_log = logging.getLogger(__name__)

P = TypeVar("P")


class Registry:
    """The loaded models. All methods are thread-safe."""

    def __init__(
        self,
        store: Path,
        runtime_for: Callable[[str], Runtime],
        versions: int,
        *,
        default: str | None = None,
        skip_broken_models: bool = False,
        trial: Trial | None = None,
        update: Callable[[], str] | None = None,
    ) -> None:
        """Create an empty registry.

        Args:
            store: Folder of the models store.
            runtime_for: Returns the backend for a bundle's name.
            versions: The number of versions to load for each name, highest first; at least 1.
            default: Name of the default model; None for the first name in order.
            skip_broken_models: Whether `load` skips rejected versions instead of failing.
            trial: Loads bundles that change while this process serves in another process first.
            update: Copies a remote store into the folder; see `ModelStore.update`.
        """
        self._store = ModelStore(store, runtime_for, versions, update=update)
        self._trial = trial
        self._default = default
        self._skip_broken_models = skip_broken_models
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._required: frozenset[tuple[str, int]] | None = None
        """The versions that were rejected at the start; None until a model is loaded."""

    def load(self) -> None:
        """Load and warm up all models at the start of the service.

        Raises:
            ArtifactError: The store is unreadable or empty, the default model is missing, every
                version is rejected, or one is and `skip_broken_models` is off.
        """
        with self._lock:
            snapshot = reconcile(self._store, Snapshot())
            if snapshot.store_error and not snapshot.states:
                raise ArtifactError(snapshot.store_error)
            names = sorted({state.name for state in snapshot.states})
            if self._default is not None and self._default not in names:
                raise ArtifactError(
                    f"the default model {self._default!r} is not in the models store "
                    f"{self._store.folder}, which has {', '.join(names)}"
                )
            reasons = [state.reason for state in snapshot.states if state.reason]
            if not snapshot.models or (reasons and not self._skip_broken_models):
                raise ArtifactError("; ".join(reasons))
            self._replace(snapshot)

    def refresh(self) -> None:
        """Reconcile the loaded models with the store; cheap if no file has changed.

        The first refresh of a process loads the copies of a remote store without a request: the
        process that started it has just made them, and requests may take longer than a ping.
        """
        if self._required is not None:
            self._reconcile_tried()
        else:
            with self._lock:
                self._replace(reconcile(replace(self._store, update=None), self._snapshot))

    def reload(self, name: str) -> None:
        """Reconcile one bundle with the store, and end the effect of `unload`.

        Raises:
            ModelNotFoundError: The name is not in the store.
            UnsupportedOperationError: The highest version is rejected; the loaded versions stay.
            NotReadyError: The store cannot be read or is empty.
        """
        if self._trial is not None:
            self._trial.forget_failures()
        snapshot = self._reconcile_tried(name)
        if snapshot.store_error:
            raise NotReadyError("The models store cannot be read or is empty.")
        highest = next(state for state in snapshot.states if state.name == name)
        if highest.reason:
            raise UnsupportedOperationError(highest.reason)

    def _reconcile_tried(self, only: str | None = None) -> Snapshot:
        """Reconcile, try what needs a trial while others may use the registry, and reconcile again.

        Returns:
            The new snapshot.
        """
        store = replace(self._store, trial=self._trial, untried=[])
        with self._lock:
            snapshot = reconcile(store, self._snapshot, only)
            self._replace(snapshot)
        if not store.untried or self._trial is None:
            return snapshot
        for bundle, backend in store.untried:
            self._trial.run(bundle, backend)
        with self._lock:
            store = replace(store, update=None, untried=[])
            snapshot = reconcile(store, self._snapshot, only)
            self._replace(snapshot)
        return snapshot

    def unload(self, name: str) -> None:
        """Drop a bundle until `reload`; requests that already use it finish.

        Raises:
            ModelNotFoundError: No bundle with this name is loaded.
        """
        with self._lock:
            states = self._snapshot.states
            others = [state for state in states if state.name != name]
            own = [state for state in states if state.name == name]
            unloaded = [state.unload() for state in own if state.is_ready or state.is_unloaded]
            if not unloaded:
                raise ModelNotFoundError(f"No bundle {name!r:.80} is loaded.")
            self._replace(replace(self._snapshot, states=(*others, *unloaded)))

    def _replace(self, after: Snapshot) -> None:
        """Replace the snapshot, then log and count each difference once."""
        before, self._snapshot = self._snapshot, after
        if after.store_error and after.store_error != before.store_error:
            _log.error("%s; the loaded models stay in service", after.store_error)
        old = {state.key: state for state in before.states}
        new = {state.key: state for state in after.states}
        for key in sorted(old.keys() | new.keys()):
            self._report(old.get(key, VersionState(*key)), new.get(key, VersionState(*key)))
        if self._required is None and after.models:
            skipped = [key for key, state in new.items() if state.reason]
            self._required = frozenset(skipped if self._skip_broken_models else ())

    def _report(self, before: VersionState, after: VersionState) -> None:
        """Log and count the difference between two states of a version."""
        if before.model is not after.model:
            if before.model is not None:
                _log.info("dropped %s", before.model.reference)
                remove_model_info(*_label(before.model))
            if (model := after.model) is not None:
                _log.info(
                    "loaded %s backend=%s device=%s", model.reference, model.backend, model.device
                )
                add_model_info(*_label(model))
                if self._required is not None:
                    RELOADS.labels("loaded").inc()
        is_new = (after.reason, after.fingerprint) != (before.reason, before.fingerprint)
        if is_new and after.is_rejected:
            _log.error("rejected %s%s", after.reason, after.cause and f" ({after.cause})")
            RELOADS.labels("refused").inc()

    @property
    def models(self) -> Models:
        """The loaded models by name in order, then by version, highest first; immutable."""
        return self._snapshot.models

    @property
    def default(self) -> str:
        """The default model's name; empty if no model is loaded and no default is set."""
        return self._default or next(iter(self._snapshot.models), "")

    @property
    def is_degraded(self) -> bool:
        """Whether the store was unreadable or empty at the last reconciliation."""
        return bool(self._snapshot.store_error)

    @property
    def missing(self) -> list[str]:
        """The versions that have been rejected since the start, each with the reason."""
        if self._required is None:
            return ["every model: not loaded yet"]
        rejected = [state for state in self._snapshot.states if state.is_rejected]
        return [state.reason for state in rejected if state.key in self._required]

    def index(self) -> list[VersionState]:
        """Return all loaded, rejected and unloaded versions, sorted by name and version."""
        return sorted(self._snapshot.states, key=lambda state: state.key)

    def find_default(self) -> Model | None:
        """Return the highest version of the default model, or None if it is not loaded."""
        return next(iter(self.models.get(self.default, {}).values()), None)

    def list_versions(self, model: Model) -> list[int]:
        """Return the loaded versions of a model's name and its own version, highest first."""
        loaded = self.models.get(model.bundle.name, {})
        return sorted({*loaded, model.bundle.version}, reverse=True)

    def find(self, reference: str | None) -> Model:
        """Return the model for `name` (its highest version), `name@version`, or the default.

        Raises:
            ModelNotFoundError: It is not loaded; the message lists the loaded models.
        """
        reference = reference or self.default
        name, has_version, version = reference.partition("@")
        for number, model in self._snapshot.models.get(name, {}).items():
            if not has_version or str(number) == version:
                return model
        loaded = self._list_references(lambda _: True)
        raise ModelNotFoundError(f"Model {reference!r:.80} is not loaded. Loaded models: {loaded}.")

    def find_part(
        self, reference: str | None, description: str, select: Callable[[Model], P | None]
    ) -> tuple[Model, P]:
        """Return a model and the part of it that an operation needs.

        Args:
            reference: As in `find`.
            description: The part's name, for the error message.
            select: Returns the part, or None if a model lacks it.

        Raises:
            ModelNotFoundError: As in `find`.
            UnsupportedOperationError: The model lacks the part; the message lists the models
                that have it.
        """
        model = self.find(reference)
        part = select(model)
        if part is not None:
            return model, part
        others = self._list_references(lambda other: select(other) is not None)
        raise UnsupportedOperationError(
            f"{model.reference} has no {description}. Loaded models that have it: {others}."
        )

    def _list_references(self, condition: Callable[[Model], bool]) -> str:
        models = [model for versions in self.models.values() for model in versions.values()]
        return ", ".join(model.reference for model in models if condition(model)) or "none"

    def find_map(self, reference: str, space: str) -> tuple[Model, str]:
        """Return a model and the file name of a space's map; errors as in `find_part`."""
        return self.find_part(
            reference,
            f"map of a latent space {space!r:.80}",
            lambda model: model.manifest.maps.get(cast("SpaceName", space)),
        )

    def find_report(self, reference: str) -> tuple[Model, str]:
        """Return a model and the file name of its report; errors as in `find_part`."""
        return self.find_part(reference, "report", lambda model: model.manifest.report)

    def find_examples(self, reference: str) -> tuple[Model, str]:
        """Return a model and the file name of its test images; errors as in `find_part`."""
        return self.find_part(reference, "test images", lambda model: model.manifest.examples)


def read_extra(model: Model, file: str) -> bytes:
    """Return the content of a loaded model's map or report, which stays on disk.

    Raises:
        UnsupportedOperationError: The file was removed or changed after the model was loaded.
    """
    try:
        return model.bundle.read(file)
    except ArtifactError as error:
        reason = str(error).removeprefix(f"{model.reference}: ")
        raise UnsupportedOperationError(
            f"{model.reference} is loaded, but the models store no longer has its {file}: {reason}"
        ) from error


def _label(model: Model) -> tuple[str, int, str, str, str]:
    """Return a model's labels in the metrics."""
    bundle = model.bundle
    return bundle.name, bundle.version, model.backend, model.device, bundle.digest
