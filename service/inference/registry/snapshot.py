"""An immutable snapshot of the loaded models and of the state of their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from service.artifact import Fingerprint
from service.artifact.specs import NetworkName
from service.inference.model import Model

Models: TypeAlias = Mapping[str, Mapping[int, Model]]
"""Loaded models by name in order, then by version, highest first."""

_UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a bundle: its model, and the result of the last check of its files."""

    name: str
    version: int
    """0 is the folder of the name, which has a state only if it cannot be read."""
    model: Model | None = None
    """A model that was loaded before its files became invalid stays loaded."""
    networks: tuple[NetworkName, ...] = ()
    """Its networks; until they are known, those of another version, or none."""
    reason: str = ""
    """Why the files are rejected, safe to show to a client; `unloaded`; empty if valid."""
    cause: str = ""
    """The library's own error message, for the log only."""
    fingerprint: Fingerprint | None = None
    """The files at the last check; None requests a check."""

    @property
    def key(self) -> tuple[str, int]:
        """(name, version)."""
        return self.name, self.version

    @property
    def is_ready(self) -> bool:
        """Whether the version is loaded."""
        return self.model is not None

    @property
    def is_unloaded(self) -> bool:
        """Whether the version was unloaded by request."""
        return self.reason == _UNLOADED

    @property
    def is_rejected(self) -> bool:
        """Whether the last check of the files failed."""
        return bool(self.reason) and not self.is_unloaded

    def unload(self) -> "VersionState":
        """Return the state without its model, marked as unloaded."""
        return VersionState(self.name, self.version, networks=self.networks, reason=_UNLOADED)


@dataclass(frozen=True)
class Snapshot:
    """The state of the registry at one time. A change makes another snapshot."""

    states: tuple[VersionState, ...] = ()
    """By name, then by version, highest first. Excludes the versions below the loaded ones."""
    store_error: str = ""
    """Why the store as a whole cannot be used; empty if it can."""

    @cached_property
    def models(self) -> Models:
        """The loaded models."""
        models: dict[str, dict[int, Model]] = {}
        for state in self.states:
            if state.model is not None:
                models.setdefault(state.name, {})[state.version] = state.model
        return models
