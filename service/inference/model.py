"""A model: a loaded bundle with its networks, samplers, detectors and reference errors."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.context import Context

from service.artifact import Bundle, Manifest, NetworkSpec, SpaceSpec
from service.artifact.detectors import Detector
from service.artifact.examples import Examples
from service.artifact.maps import LatentMap
from service.artifact.samplers import Sampler
from service.artifact.specs import GraphFormat, NetworkName, SpaceName
from service.artifact.tensor_files import read_reference_errors
from service.errors import ArtifactError, InvalidInputError, LatentdError, Violation
from service.inference.detectors import load_detectors
from service.inference.sampling import load_sampler
from service.observability.metrics import observe_inference
from service.observability.tracing import trace_run
from service.runtimes import Device, Floats, Network, Runtime
from service.runtimes.devices import limit_images

_ANY_BATCH = 2**31
_TIMED_RUNS = 3
_TIMED_IMAGES: Mapping[Device, int] = {"cpu": 1, "cuda": 32}
"""Images in a timed run: on CUDA one image takes as long as many."""
_TIMED_SECONDS = 1.0
"""A network that takes longer than this is timed once."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded bundle. Immutable: a reload creates another one."""

    bundle: Bundle
    manifest: Manifest
    reference: str
    """`name@version`."""
    backend: GraphFormat
    device: Device
    """The device that runs the networks."""
    platform: str
    """Name of the backend in the Open Inference Protocol."""
    networks: Mapping[NetworkName, Network]
    samplers: Mapping[str, Sampler]
    detectors: Mapping[str, Detector]
    errors: Mapping[SpaceName, Floats]
    seconds: Mapping[NetworkName, float]
    """Seconds per image, measured during warm-up."""
    values: Mapping[NetworkName, int]
    """Numbers per image in the input and the outputs."""
    max_images: Mapping[NetworkName, int]
    """Images in one run: larger batches are split to bound the memory of activations."""

    @property
    def image_values(self) -> int:
        """Numbers of one image."""
        return math.prod(self.manifest.image.shape)

    def space(self, name: SpaceName) -> SpaceSpec:
        """Return the specification of a latent space of the bundle."""
        return self.manifest.spaces[name]

    def run(
        self,
        network: NetworkName,
        batch: Floats,
        *,
        requests: int = 1,
        traces: Sequence[Context] = (),
    ) -> list[Floats]:
        """Run a network on a batch of any size.

        Args:
            network: A network of the bundle.
            batch: (N, *input shape) float32, N at least 1.
            requests: Number of requests that the batch serves.
            traces: Traces of those requests that are traced.

        Returns:
            One (N, *output shape) float32 array for each output.

        Raises:
            InvalidInputError: an output is not finite, as for very large latents.
            InferenceError: the backend failed.
        """
        chosen, size = self.networks[network], self.max_images[network]
        start = time.perf_counter()
        if traces:
            with trace_run(self.reference, network, self.backend, len(batch), traces):
                outputs = _run_chunks(chosen, batch, size)
        else:
            outputs = _run_chunks(chosen, batch, size)
        seconds = time.perf_counter() - start
        for _ in range(requests):
            observe_inference(self.bundle.name, network, self.backend, seconds)
        for output in outputs:
            if not np.isfinite(output).all():
                detail = f"The {network} returns non-finite values for this input."
                raise InvalidInputError(Violation("", detail))
        return outputs


def _run_chunks(network: Network, batch: Floats, size: int) -> list[Floats]:
    if len(batch) <= size:
        return network.run(np.ascontiguousarray(batch))
    chunks = [
        network.run(np.ascontiguousarray(batch[start : start + size]))
        for start in range(0, len(batch), size)
    ]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def load_model(bundle: Bundle, runtime: Runtime) -> Model:
    """Load and check everything in a bundle, warm up its networks and measure their speed.

    Raises:
        ArtifactError: a file does not match the manifest, or is not usable.
    """
    manifest = bundle.manifest
    specs = manifest.networks
    try:
        _check_extras(bundle)
        networks = _load_networks(bundle, runtime)
        values = {name: _count_values(spec) for name, spec in specs.items()}
        max_images = {
            name: min(limit_images(runtime.device, values[name]), spec.max_batch or _ANY_BATCH)
            for name, spec in specs.items()
        }
        return Model(
            bundle=bundle,
            manifest=manifest,
            reference=f"{bundle.name}@{bundle.version}",
            backend=runtime.format,
            device=runtime.device,
            platform=runtime.platform,
            networks=networks,
            samplers={name: load_sampler(bundle, spec) for name, spec in manifest.samplers.items()},
            detectors=load_detectors(bundle),
            errors={
                name: read_reference_errors(bundle.read(space.reference))
                for name, space in manifest.spaces.items()
            },
            seconds={
                name: _warm_up(
                    network, name, specs[name], min(_TIMED_IMAGES[runtime.device], max_images[name])
                )
                for name, network in networks.items()
            },
            values=values,
            max_images=max_images,
        )
    except LatentdError as error:  # also from a network that fails on zeros
        prefix = f"{bundle.name}@{bundle.version}: "
        raise ArtifactError(prefix + str(error).removeprefix(prefix)) from error


def _check_extras(bundle: Bundle) -> None:
    """Reject a bundle with an unusable map, report or examples."""
    manifest = bundle.manifest
    for name, file in manifest.maps.items():
        size = LatentMap.from_bytes(bundle.read(file)).latent_size
        if size != manifest.spaces[name].latent_size:
            raise ArtifactError(f"{file} has latents of another size than the space {name}")
    if manifest.report is not None:
        bundle.read(manifest.report)
    if manifest.examples is not None:
        shape = Examples.from_bytes(bundle.read(manifest.examples)).images.shape[1:]
        if shape != manifest.image.shape:
            raise ArtifactError(f"{manifest.examples} has images of another shape, {shape}")


def _count_values(spec: NetworkSpec) -> int:
    return sum(math.prod(tensor.shape) for tensor in (spec.input, *spec.outputs))


def _load_networks(bundle: Bundle, runtime: Runtime) -> dict[NetworkName, Network]:
    """Load every network; networks with the same specification share one loaded graph."""
    specs = bundle.manifest.networks
    networks: dict[NetworkName, Network] = {}
    for name, spec in specs.items():
        same = next((other for other in networks if specs[other] == spec), None)
        networks[name] = _load_network(bundle, name, runtime) if same is None else networks[same]
    return networks


def _load_network(bundle: Bundle, name: NetworkName, runtime: Runtime) -> Network:
    spec = bundle.manifest.networks[name]
    graph = spec.formats.get(runtime.format)
    if graph is None:
        raise ArtifactError(f"{name} has no {runtime.format} graph, only {', '.join(spec.formats)}")
    return runtime.load(bundle.read(graph.file), spec)


def _warm_up(network: Network, name: NetworkName, spec: NetworkSpec, images: int) -> float:
    """Run a network on zeros; return the seconds per image of the shortest of a few runs."""
    count = min(2, spec.max_batch or _ANY_BATCH)
    outputs = network.run(np.zeros((count, *spec.input.shape), dtype=np.float32))
    if [output.shape for output in outputs] != [(count, *output.shape) for output in spec.outputs]:
        raise ArtifactError(f"{name} returns other shapes than the manifest declares")
    if not all(np.isfinite(output).all() for output in outputs):
        raise ArtifactError(f"{name} returns non-finite values for zeros")
    batch = np.zeros((images, *spec.input.shape), dtype=np.float32)
    durations = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        network.run(batch)
        durations.append(time.perf_counter() - start)
        if durations[-1] > _TIMED_SECONDS:
            break
    return min(durations) / images
