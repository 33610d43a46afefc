"""Requests that exceed the available memory."""

from pathlib import Path

from service.artifact import NetworkSpec
from service.artifact.specs import GraphFormat
from service.runtimes import DeviceChoice, Floats, Network
from service.settings import Settings
from tests.support.fakes import FakeNetwork, FakeRuntime, write_bundle
from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import check_problem
from tests.support.servers import run_service

ONE = {"images": [to_base64(make_png(77))]}
MANY = {"images": [to_base64(make_png(77))] * 3}


class MemoryLimitedNetwork(FakeNetwork):
    """Network that runs out of memory for more than two images."""

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        if len(batch) > 2:
            raise MemoryError
        return super().run(batch)


class MemoryLimitedRuntime(FakeRuntime):
    """Runtime that loads networks with limited memory."""

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        return MemoryLimitedNetwork(graph.decode(), spec)


def open_limited_runtime(
    backend: GraphFormat, _threads: int, _device: DeviceChoice
) -> MemoryLimitedRuntime:
    """Replace `service.runtimes.open_runtime`."""
    return MemoryLimitedRuntime(backend)


def test_out_of_memory_is_503_with_retry_after(tmp_path: Path) -> None:
    """A request without enough memory is rejected with 503 and `Retry-After`; others succeed."""
    write_bundle(tmp_path, "full")
    with run_service(Settings(models_store=tmp_path), open_limited_runtime) as client:
        rejected = client.post("/v1/encode", json=MANY)
        accepted = client.post("/v1/encode", json=ONE)

    assert check_problem(rejected, 503)["type"] == "urn:latentd:problem:memory"
    assert rejected.headers["Retry-After"] == "1"
    assert accepted.status_code == 200
