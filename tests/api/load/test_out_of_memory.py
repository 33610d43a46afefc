"""A service whose memory is at an end."""

from pathlib import Path

from service.artifact import NetworkSpec
from service.artifact.manifest import GraphFormat
from service.runtimes import Floats, Network
from service.settings import Settings
from tests.support.fakes import FakeNetwork, FakeRuntime, write_bundle
from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import check_refusal
from tests.support.servers import run_service

ONE = {"images": [to_base64(make_png(77))]}
MANY = {"images": [to_base64(make_png(77))] * 3}


class GreedyNetwork(FakeNetwork):
    """Finds no memory for more than two images."""

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        if len(batch) > 2:
            raise MemoryError
        return super().run(batch)


class GreedyRuntime(FakeRuntime):
    """Loads such networks."""

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        return GreedyNetwork(graph.decode(), spec)


def open_greedy(backend: GraphFormat, _threads: int) -> GreedyRuntime:
    """Stand in for `service.runtimes.open_runtime`."""
    return GreedyRuntime(backend)


def test_what_finds_no_memory_may_come_again(tmp_path: Path) -> None:
    """A request for which there is no memory is 503 with `Retry-After`, and others are served."""
    write_bundle(tmp_path, "full")
    with run_service(Settings(models_store=tmp_path), open_greedy) as client:
        refused = client.post("/v1/encode", json=MANY)
        served = client.post("/v1/encode", json=ONE)

    assert check_refusal(refused, 503)["type"] == "urn:latentd:problem:memory"
    assert refused.headers["Retry-After"] == "1"
    assert served.status_code == 200
