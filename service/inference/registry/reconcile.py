"""Reconciliation: load, keep and drop models until a snapshot matches the models store."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.artifact import Bundle, fingerprint, open_bundle, survey
from service.artifact.specs import GraphFormat
from service.errors import ArtifactError, LatentdError, ModelNotFoundError
from service.inference.model import Model, load_model
from service.inference.registry.snapshot import Snapshot, VersionState
from service.inference.registry.trial import Trial, UntriedError
from service.runtimes import Runtime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder of bundles, and the rules to load models from it."""

    folder: Path
    runtime_for: Callable[[str], Runtime]
    """Returns the backend for a bundle's name."""
    versions: int
    """The number of versions to load for each name, the highest first; at least 1."""
    trial: Trial | None = None
    """Loads bundles in another process first; None to load them at once."""
    untried: list[tuple[Bundle, GraphFormat]] = field(default_factory=list)
    """Receives the bundles that were left out because they need a trial."""
    update: Callable[[], str] | None = None
    """Copies a remote store into the folder; returns why it cannot be read, or an empty text."""


def reconcile(store: ModelStore, snapshot: Snapshot, only: str | None = None) -> Snapshot:
    """Return a snapshot that matches the current content of the store.

    A version whose files have not changed is neither read nor loaded again. A version that fails
    in any way is rejected; it affects no other version, and is checked again when its files
    change. Until then its loaded model stays, or a lower version takes its place. If the store
    cannot be read or is empty, the result differs in `store_error` alone; while a remote store
    cannot be read, its local copy counts. A version that needs a trial keeps its state, and is
    added to `store.untried`.

    Args:
        store: The store.
        snapshot: The current state. Names that were unloaded by request are skipped.
        only: Reconcile this name alone, even if it was unloaded or its files have not changed.

    Raises:
        ModelNotFoundError: `only` is not in the store.
    """
    outage = store.update() if store.update is not None else ""
    try:
        bundles = survey(store.folder)
    except ArtifactError as error:
        return replace(snapshot, store_error=outage or str(error))
    if not bundles:
        empty = f"the models store {store.folder} contains no bundle"
        return replace(snapshot, store_error=outage or empty)
    if only is not None and only not in bundles:
        raise ModelNotFoundError(f"Bundle {only!r:.80} is not in the models store.")
    if only is None:
        states = [state for state in snapshot.states if state.is_unloaded]
        names = bundles.keys() - {state.name for state in states}
    else:
        states = [state for state in snapshot.states if state.name != only]
        names = {only}
    for name in sorted(names):
        before = {state.version: state for state in snapshot.states if state.name == name}
        if only is not None:
            before = {v: replace(state, fingerprint=None) for v, state in before.items()}
        states += _reconcile_name(store, name, bundles[name], before)
    states.sort(key=lambda state: (state.name, -state.version))
    return Snapshot(tuple(states), store_error=outage)


def _reconcile_name(
    store: ModelStore,
    name: str,
    versions: list[int] | ArtifactError,
    before: Mapping[int, VersionState],
) -> list[VersionState]:
    """Return the states of a name's highest valid versions and of those rejected above them."""
    if isinstance(versions, ArtifactError):
        states = [*before.values()] or [VersionState(name, 0)]
        return [replace(state, reason=str(versions), fingerprint=None) for state in states]
    states = []
    for version in versions:
        state = _reconcile_version(store, before.get(version, VersionState(name, version)))
        if state.is_ready or state.reason:
            states.append(state)
        if sum(state.is_ready for state in states) == store.versions:
            break
    networks = next((state.networks for state in states if state.networks), ())
    return [
        state if state.networks or not networks else replace(state, networks=networks)
        for state in states
    ]


def _reconcile_version(store: ModelStore, state: VersionState) -> VersionState:
    """Return the state of a version after a check of its files, if they have changed."""
    reference = f"{state.name}@{state.version}"
    files = fingerprint(store.folder / state.name / str(state.version))
    if files == state.fingerprint:
        return state
    try:
        model = _load(store, state)
    except UntriedError:
        return state
    except Exception as error:  # noqa: BLE001 - a broken bundle must not affect the others
        _log.debug("%s failed to load", reference, exc_info=True)
        reason = f"it failed to load ({type(error).__name__})"
        if isinstance(error, LatentdError):
            reason = str(error).removeprefix(f"{reference}: ")
        return replace(
            state,
            fingerprint=files,
            reason=f"{reference}: {reason}",
            cause=_find_cause(error),
        )
    return VersionState(state.name, state.version, model, tuple(model.networks), fingerprint=files)


def _load(store: ModelStore, state: VersionState) -> Model:
    """Load a version, or verify the files of its loaded model if the bundle is the same.

    Raises:
        ArtifactError: A file is missing, damaged or unusable.
        MissingExtraError: The backend is not installed.
        UntriedError: The bundle needs a trial first; `store.untried` has it.
    """
    bundle = open_bundle(store.folder, state.name, state.version)
    model = state.model
    if model is None or model.bundle.digest != bundle.digest:
        runtime = store.runtime_for(state.name)
        if store.trial is not None:
            try:
                store.trial.check(bundle, runtime.format)
            except UntriedError:
                store.untried.append((bundle, runtime.format))
                raise
        return load_model(bundle, runtime)
    unused = {
        graph.file
        for network in bundle.manifest.networks.values()
        for graph_format, graph in network.formats.items()
        if graph_format != model.backend
    }
    for file in bundle.manifest.files.keys() - unused:
        bundle.read(file)
    return model


def _find_cause(error: BaseException | None) -> str:
    """Return the type and message of the first error in the chain that latentd did not raise."""
    while isinstance(error, LatentdError):
        error = error.__cause__
    return "" if error is None else f"{type(error).__name__}: {str(error)[:400]!r}"
