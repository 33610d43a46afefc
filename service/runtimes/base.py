"""The protocols of a backend: a runtime loads stored graphs into networks."""

from typing import Protocol

from service.artifact import NetworkSpec
from service.artifact.specs import GraphFormat
from service.artifact.tensor_files import Floats
from service.runtimes.devices import Device


class Network(Protocol):
    """A loaded graph. Called by `service.inference` from several threads at once."""

    def run(self, batch: Floats) -> list[Floats]:
        """Run the graph.

        Args:
            batch: (N, *input shape) float32, C-contiguous, N at least 1.

        Returns:
            One (N, *output shape) float32 array for each output, in the manifest's order.

        Raises:
            InferenceError: the backend failed.
            DeadlineExceededError: the run took longer than the limit, and was interrupted.
        """


class Runtime(Protocol):
    """A backend. Called at start-up and at reload, from one thread at a time."""

    format: GraphFormat
    """The stored form that this backend reads."""
    device: Device
    """The device that runs the networks."""
    platform: str
    """Name of the backend and form in `/v2` metadata, as Triton Inference Server spells it."""

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """Load a graph from bytes with a verified checksum.

        Raises:
            ArtifactError: the backend rejects the graph, or its tensors differ from `spec`.
        """
