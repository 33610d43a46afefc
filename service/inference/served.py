"""What requests find: models by name and version.

Models are immutable, and so is the mapping of them: whoever changes what is served makes a new
mapping and swaps it in by one assignment. Finding takes no lock; a request keeps what it found.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from service.artifact.manifest import NetworkName, SpaceName
from service.errors import ModelNotFoundError, UnsupportedOperationError
from service.inference.model import Model

Models: TypeAlias = Mapping[str, Mapping[int, Model]]
"""Every model by name, then by version, highest first."""


class Served:
    """The models that are served, for those who only look."""

    def __init__(self, default: str | None) -> None:
        """Serve nothing yet.

        Args:
            default: Name of the model that answers when none is asked for; None for the
                first name in order.
        """
        self._default = default
        self._models: Models = {}

    @property
    def models(self) -> Models:
        """Every model by name, then by version, highest first; never changed, but replaced."""
        return self._models

    @property
    def default(self) -> str:
        """The name that answers when none is asked for; empty where nothing is served."""
        return self._default or next(iter(self._models), "")

    def find_default(self) -> Model | None:
        """Return the model that answers when none is named, or None where it is not served."""
        return next(iter(self._models.get(self.default, {}).values()), None)

    def list_versions(self, model: Model) -> list[int]:
        """Return the versions that are served beside a model's, and its own, highest first."""
        served = self._models.get(model.bundle.name, {})
        return sorted({*served, model.bundle.version}, reverse=True)

    def find(self, reference: str | None) -> Model:
        """Return the model for `name` (its highest version), `name@version`, or the default.

        Raises:
            ModelNotFoundError: no such name or version is served; the text lists those that are.
        """
        wanted = reference or self.default
        name, pinned, version = wanted.partition("@")
        for number, model in self._models.get(name, {}).items():
            if not pinned or str(number) == version:
                return model
        served = ", ".join(model.reference for model in self._served()) or "none"
        raise ModelNotFoundError(f"no model {wanted!r:.80} is served; there are {served}")

    def _served(self) -> list[Model]:
        return [model for versions in self._models.values() for model in versions.values()]

    def find_network(self, reference: str | None, network: NetworkName) -> Model:
        """Return the model, which must have the network.

        Raises:
            ModelNotFoundError: as in `find`.
            UnsupportedOperationError: it has no such network; the text says which models do.
        """
        model = self.find(reference)
        if network not in model.networks:
            raise self._unavailable(model, network, lambda other: network in other.networks)
        return model

    def find_source(
        self, reference: str | None, source: str | None, *, of_class: bool = False
    ) -> tuple[Model, str]:
        """Return the model and the name of the sampler: the one asked for or its default.

        Args:
            reference: As in `find`.
            source: Its name; None for the model's default.
            of_class: Whether one class is asked for, which not every source knows.

        Raises:
            ModelNotFoundError: as in `find`.
            UnsupportedOperationError: it has no such sampler; the text says which models do.
        """
        model = self.find(reference)
        chosen = source or model.manifest.find_default_source(class_conditional=of_class)
        if chosen is None or chosen not in model.samplers:
            what = f"sample source {chosen!r:.80}"
            raise self._unavailable(model, what, lambda other: chosen in other.samplers)
        return model, chosen

    def find_map(self, reference: str, space: str) -> tuple[Model, SpaceName]:
        """Return the model, and the space, of which it must have a map.

        Raises:
            ModelNotFoundError: as in `find`.
            UnsupportedOperationError: it has no such map; the text says which models do.
        """
        model = self.find(reference)
        for name in model.manifest.maps:
            if name == space:
                return model, name
        what = f"map of a space {space!r:.80}"
        raise self._unavailable(model, what, lambda other: space in other.manifest.maps)

    def find_report(self, reference: str) -> tuple[Model, str]:
        """Return the model and its report's file.

        Raises:
            ModelNotFoundError: as in `find`.
            UnsupportedOperationError: it has no report; the text says which models do.
        """
        model = self.find(reference)
        if model.manifest.report is None:
            raise self._unavailable(
                model, "report", lambda other: other.manifest.report is not None
            )
        return model, model.manifest.report

    def _unavailable(
        self, model: Model, what: str, has_it: Callable[[Model], bool]
    ) -> UnsupportedOperationError:
        others = ", ".join(other.reference for other in self._served() if has_it(other))
        return UnsupportedOperationError(
            f"{model.reference} has no {what}; "
            + (f"these have it: {others}" if others else "no model served has it")
        )
