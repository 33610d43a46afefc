"""A fake backend whose runs a test can block, count and make fail."""

import threading

from service.artifact import NetworkSpec
from service.artifact.specs import GraphFormat
from service.runtimes import DeviceChoice, Floats, Network
from tests.support.fakes import FakeRuntime


class BlockingBackend:
    """The controls that all networks of one service share.

    Runs are open at first, since a service runs each network once while it loads a model.
    """

    def __init__(self) -> None:
        """Let runs pass."""
        self.open = threading.Event()
        self.open.set()
        self.runs = 0
        self.error: Exception | None = None

    def open_runtime(
        self, backend: GraphFormat, _threads: int, _device: DeviceChoice
    ) -> "BlockingRuntime":
        """Replace `service.runtimes.open_runtime`."""
        return BlockingRuntime(self, backend)


class BlockingRuntime(FakeRuntime):
    """Runtime that loads the fake networks behind the controls of a backend."""

    def __init__(self, backend: BlockingBackend, graph_format: GraphFormat) -> None:
        """Store the backend."""
        super().__init__(graph_format)
        self._backend = backend

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        return BlockingNetwork(self._backend, super().load(graph, spec))


class BlockingNetwork:
    """Network that counts a run, waits until runs are open, and raises the backend's error."""

    def __init__(self, backend: BlockingBackend, network: Network) -> None:
        """Store the backend and the network that computes."""
        self._backend = backend
        self._network = network

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        self._backend.runs += 1
        self._backend.open.wait(10)
        if self._backend.error is not None:
            raise self._backend.error
        return self._network.run(batch)
