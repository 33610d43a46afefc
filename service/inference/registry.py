"""What is served: names and versions to loaded models."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from service.artifact import list_bundles, open_bundle
from service.artifact.manifest import NetworkName
from service.errors import ArtifactError, ModelNotFoundError, UnavailableError
from service.inference.model import Model, load_model
from service.metrics import show_model
from service.runtimes import Runtime

_log = logging.getLogger(__name__)


class Registry:
    """The models that are served, by name and version."""

    def __init__(
        self,
        store: Path,
        runtime_for: Callable[[str], Runtime],
        versions: int,
        *,
        default: str | None = None,
        serve_good: bool = False,
    ) -> None:
        """Prepare an empty registry.

        Args:
            store: The models store.
            runtime_for: Gives the backend for a bundle's name.
            versions: How many of each name's highest versions are served, at least 1.
            default: Name of the model that answers when none is asked for; None for the
                first name in order.
            serve_good: Serve the other models where one must not be served, instead of none.
        """
        self._store = store
        self._runtime_for = runtime_for
        self._versions = versions
        self._default = default
        self._serve_good = serve_good
        self._models: dict[str, dict[int, Model]] = {}
        self._missing: dict[str, str] = {"every model": "not loaded yet"}

    def load(self) -> None:
        """Load and warm every model that should be served.

        Raises:
            ArtifactError: the store is empty or unreadable, a bundle in it must not be
                served, or the default model is not there.
        """
        bundles = list_bundles(self._store)
        if not bundles:
            raise ArtifactError(f"the models store {self._store} holds no bundle to serve")
        if self._default is not None and self._default not in bundles:
            raise ArtifactError(
                f"the default model {self._default!r} is not in {self._store}; "
                f"there are {', '.join(bundles)}"
            )
        self._missing = {}
        for name, found in bundles.items():
            for version in found[: self._versions]:
                self._load(name, version)
        if not self._models:
            raise ArtifactError("; ".join(self._missing.values()))

    def _load(self, name: str, version: int) -> None:
        try:
            bundle = open_bundle(self._store, name, version)
            model = load_model(bundle, self._runtime_for(name))
        except ArtifactError as error:
            if not self._serve_good:
                raise
            _log.error("left out: %s", error)
            self._missing[f"{name}@{version}"] = str(error)
        else:
            _log.info("loaded %s backend=%s", model.reference, model.backend)
            self._models.setdefault(name, {})[version] = model
            show_model(name, version, model.backend, bundle.digest)

    @property
    def missing(self) -> list[str]:
        """What should be served and is not, each with the reason."""
        return [f"{what}: {why}" for what, why in self._missing.items()]

    @property
    def models(self) -> Mapping[str, dict[int, Model]]:
        """Every model by name, then by version, highest first."""
        return self._models

    @property
    def default(self) -> str:
        """The name that answers when none is asked for."""
        return self._default or next(iter(self._models))

    def find(self, reference: str | None) -> Model:
        """Return the model for `name` (its highest version), `name@version`, or the default.

        Raises:
            ModelNotFoundError: no such name or version is served; the text lists those that are.
        """
        wanted = reference or self.default
        name, pinned, version = wanted.partition("@")
        versions = self._models.get(name, {})
        for number, model in versions.items():
            if not pinned or str(number) == version:
                return model
        served = ", ".join(model.reference for model in self._served())
        raise ModelNotFoundError(f"no model {wanted!r:.80} is served; there are {served}")

    def _served(self) -> list[Model]:
        return [model for versions in self._models.values() for model in versions.values()]

    def find_network(self, reference: str | None, network: NetworkName) -> Model:
        """Return the model, which must have the network.

        Raises:
            ModelNotFoundError: as in `find`.
            UnavailableError: it has no such network; the text says which models do.
        """
        model = self.find(reference)
        if network not in model.networks:
            raise self._unavailable(model, network, lambda other: network in other.networks)
        return model

    def find_source(self, reference: str | None, source: str | None) -> tuple[Model, str]:
        """Return the model and the name of the sampler: the one asked for or its default.

        Raises:
            ModelNotFoundError: as in `find`.
            UnavailableError: it has no such sampler; the text says which models do.
        """
        model = self.find(reference)
        chosen = source or model.manifest.default_source
        if chosen is None or chosen not in model.samplers:
            what = f"sample source {chosen!r:.80}"
            raise self._unavailable(model, what, lambda other: chosen in other.samplers)
        return model, chosen

    def _unavailable(
        self, model: Model, what: str, has_it: Callable[[Model], bool]
    ) -> UnavailableError:
        others = ", ".join(other.reference for other in self._served() if has_it(other))
        return UnavailableError(
            f"{model.reference} has no {what}; "
            + (f"these have it: {others}" if others else "no model served has it")
        )
