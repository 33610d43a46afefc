"""The service with its models store on an S3 server: new versions, a corrupt object, an outage."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.artifact import list_bundles, open_bundle, publish, stage
from tests.support.requirements import require_module
from tests.support.s3_server import BUCKET, S3Server, run_s3_server
from tests.support.servers import TLS, wait_until
from tests.support.service_process import ROOT, Service, find_free_port

SHIPPED = ROOT / "models_store"
URL = f"s3://{BUCKET}/production"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 server with an empty bucket, which this process uses as well."""
    require_module("s3fs")
    require_module("moto")
    require_module("flask_cors")
    with run_s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def publish_mnist() -> int:
    """Publish the shipped bundle as the next version; return the version."""
    with stage(URL, "mnist") as folder:
        version = list_bundles(SHIPPED)["mnist"][0]
        for path in (SHIPPED / "mnist" / str(version)).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return publish(folder, URL, "mnist").version


@contextlib.contextmanager
def serve(cache: Path, log: Path) -> Iterator[Service]:
    """Serve the store."""
    port = find_free_port()
    flags = ["--models-store", URL, "--store-cache", str(cache), "--threads", "1"]
    environment = {name: text for name, text in os.environ.items() if "LATENTD_" not in name}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port), *flags],
            stderr=stderr,
            env=environment,
            cwd=ROOT,
        )
    service = Service(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(service.is_ready, timeout=120)
        yield service
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass
class Load:
    """A client that classifies an image again and again."""

    service: Service
    statuses: list[int] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send requests until the load is stopped."""
        while not self._stopped.wait(0.02):
            self.statuses.append(self.service.classify())

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send requests while the context is open."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


def list_served(service: Service) -> list[int]:
    """Return the versions that are served."""
    versions = httpx.get(f"{service.url}/v1/models/mnist", verify=TLS, timeout=10).json()
    return list(versions["versions"])


def wait_for_versions(service: Service, versions: list[int]) -> None:
    """Wait until a response has these versions."""
    wait_until(lambda: list_served(service) == versions, timeout=60)


def test_no_request_fails_while_the_store_changes_and_ends(s3: S3Server, tmp_path: Path) -> None:
    """A version that is published is served, and a corrupt object and an outage change nothing.

    A repaired object is copied. A service that starts during the outage serves the copies.
    """
    cache, log = tmp_path / "cache", tmp_path / "log"
    copy = cache / "mnist" / "2" / "decoder.onnx"
    decoder = open_bundle(SHIPPED, "mnist", list_bundles(SHIPPED)["mnist"][0]).read("decoder.onnx")
    publish_mnist()
    with serve(cache, log) as service:
        load = Load(service)
        with load.sending():
            assert publish_mnist() == 2
            wait_for_versions(service, [2, 1])
            s3.put("production/mnist/2/decoder.onnx", b"corrupt")
            wait_until(lambda: b"decoder.onnx differs" in log.read_bytes(), timeout=60)
            s3.put("production/mnist/2/decoder.onnx", decoder)
            wait_until(lambda: copy.read_bytes() == decoder, timeout=60)
            s3.process.kill()
            wait_until(lambda: service.get("/readyz").json()["store"] == "degraded", timeout=60)
            wait_for_versions(service, [2, 1])
        assert len(load.statuses) > 50
        assert set(load.statuses) == {200}
    assert list_bundles(cache) == {"mnist": [2, 1]}

    with serve(cache, tmp_path / "second_log") as service:
        wait_until(lambda: service.get("/readyz").json()["store"] == "degraded", timeout=60)
        assert service.classify() == 200
