"""A bundle in memory: its networks, samplers and reference errors, warmed and timed."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.artifact import Bundle, Manifest, NetworkSpec, SpaceSpec
from service.artifact.manifest import GraphFormat, NetworkName, SpaceName
from service.artifact.maps import LatentMap
from service.artifact.samplers import Sampler
from service.artifact.tensor_files import read_reference_errors
from service.errors import ArtifactError, InvalidInputError, LatentdError, Violation
from service.inference.sampling import load_sampler
from service.observability.metrics import observe_inference
from service.observability.tracing import is_traced, trace_run
from service.runtimes import Floats, Network, Runtime

CHUNK = 256
"""Images in one run: larger batches are split, which bounds the memory of activations."""

_TIMED_RUNS = 3


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is served. Immutable: a reload makes another one."""

    bundle: Bundle
    backend: GraphFormat
    networks: Mapping[NetworkName, Network]
    samplers: Mapping[str, Sampler]
    errors: Mapping[SpaceName, Floats]
    seconds: Mapping[NetworkName, float]
    """Seconds for one image, measured when the network was warmed."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.bundle.name}@{self.bundle.version}"

    def space(self, name: SpaceName) -> SpaceSpec:
        """Return the description of a latent space that the bundle has."""
        return self.manifest.spaces[name]

    def run(self, network: NetworkName, batch: Floats, requests: int = 1) -> list[Floats]:
        """Run a network that the bundle has over a batch of any size.

        Args:
            network: Its name.
            batch: (N, *input shape) float32, N at least 1.
            requests: For how many requests; the duration is noted for each.

        Returns:
            One (N, *output shape) float32 array for each output.

        Raises:
            InvalidInputError: an output is not finite, as from absurdly large latents.
            InferenceError: the backend failed.
        """
        start = time.perf_counter()
        if is_traced():
            with trace_run(self.reference, network, self.backend, len(batch)):
                outputs = _run_chunks(self.networks[network], batch)
        else:
            outputs = _run_chunks(self.networks[network], batch)
        seconds = time.perf_counter() - start
        for _ in range(requests):
            observe_inference(self.bundle.name, network, self.backend, seconds)
        for output in outputs:
            if not np.isfinite(output).all():
                raise InvalidInputError(
                    Violation("", f"the {network} gives non-finite numbers for this")
                )
        return outputs


def _run_chunks(network: Network, batch: Floats) -> list[Floats]:
    if len(batch) <= CHUNK:
        return network.run(np.ascontiguousarray(batch))
    chunks = [
        network.run(np.ascontiguousarray(batch[start : start + CHUNK]))
        for start in range(0, len(batch), CHUNK)
    ]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def load_model(bundle: Bundle, runtime: Runtime) -> Model:
    """Load, check, warm and time everything in a bundle.

    Raises:
        ArtifactError: a file is not the one that the manifest lists, or cannot be used.
    """
    manifest = bundle.manifest
    try:
        _check_extras(bundle)
        networks = {name: _load_network(bundle, name, runtime) for name in manifest.networks}
        model = Model(
            bundle=bundle,
            backend=runtime.format,
            networks=networks,
            samplers={},
            errors={
                name: read_reference_errors(bundle.read(space.reference))
                for name, space in manifest.spaces.items()
            },
            seconds={
                name: _warm(network, name, manifest.networks[name])
                for name, network in networks.items()
            },
        )
        return dataclasses.replace(model, samplers=_load_samplers(model))
    except LatentdError as error:  # a network that fails on zeros, too
        prefix = f"{bundle.name}@{bundle.version}: "
        raise ArtifactError(prefix + str(error).removeprefix(prefix)) from error


def _load_samplers(model: Model) -> dict[str, Sampler]:
    """Load the samplers, some of which run the model's networks."""
    specs = model.manifest.samplers
    return {name: load_sampler(model.bundle, spec, model.run) for name, spec in specs.items()}


def _check_extras(bundle: Bundle) -> None:
    """Refuse a bundle whose maps or report could not be given when they are asked for."""
    manifest = bundle.manifest
    for name, file in manifest.maps.items():
        size = LatentMap.from_bytes(bundle.read(file)).latent_size
        if size != manifest.spaces[name].latent_size:
            raise ArtifactError(f"{file} has codes of {size} numbers; the {name} has others")
    if manifest.report is not None:
        bundle.read(manifest.report)


def _load_network(bundle: Bundle, name: NetworkName, runtime: Runtime) -> Network:
    spec = bundle.manifest.networks[name]
    graph = spec.formats.get(runtime.format)
    if graph is None:
        raise ArtifactError(f"{name} has no {runtime.format} graph; it has {list(spec.formats)}")
    return runtime.load(bundle.read(graph.file), spec)


def _warm(network: Network, name: NetworkName, spec: NetworkSpec) -> float:
    """Try a network on zeros; return the quickest of a few runs of one image, in seconds."""
    outputs = network.run(np.zeros((2, *spec.input.shape), dtype=np.float32))
    if [output.shape for output in outputs] != [(2, *output.shape) for output in spec.outputs]:
        raise ArtifactError(f"{name} does not give what the manifest says")
    if not all(np.isfinite(output).all() for output in outputs):
        raise ArtifactError(f"{name} gives non-finite numbers for zeros")
    batch = np.zeros((1, *spec.input.shape), dtype=np.float32)
    durations = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        network.run(batch)
        durations.append(time.perf_counter() - start)
    return min(durations)
