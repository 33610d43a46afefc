"""A real process is told to stop: what was sent is answered, and it ends well."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import TLS, wait_until

ROOT = Path(__file__).parents[2]
SLOW = {"json": {"count": 512, "encoding": "png"}}
"""Takes tenths of a second."""


def find_free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Service:
    """A `latentd serve` of its own."""

    def __init__(self, workers: int, drain_seconds: float) -> None:
        """Start it and wait until it is ready."""
        port = find_free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=TLS, timeout=20)
        flags = {"port": port, "workers": workers, "drain-seconds": drain_seconds, "threads": 1}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", *(f"--{n}={v}" for n, v in flags.items())],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            wait_until(self.is_ready, timeout=30)
        except AssertionError:
            self.process.kill()
            self.process.communicate()
            raise

    def is_ready(self) -> bool:
        """Tell whether `/readyz` is 200, asked on a new connection."""
        with contextlib.suppress(httpx.TransportError):
            return self.ask("/readyz").is_success
        return False

    def ask(self, path: str) -> httpx.Response:
        """Ask on a new connection."""
        return httpx.get(self.client.base_url.join(path), verify=TLS, timeout=20)

    def list_children(self) -> set[int]:
        """Return the ids of the workers, and of what looks after their resources."""
        pid = self.process.pid
        return {
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        }

    def list_workers(self) -> set[int]:
        """Return the ids of the workers alone."""
        return {
            pid
            for pid in self.list_children()
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        }

    def end(self) -> str:
        """Wait for the end; return what was logged."""
        _, told = self.process.communicate(timeout=20)
        return told


@pytest.fixture(params=[1, 2], ids=["one", "two"])
def workers(request: pytest.FixtureRequest) -> int:
    """How many workers serve."""
    return int(request.param)


@pytest.fixture
def service(workers: int) -> Iterator[Service]:
    """A service that drains for a second and a half."""
    started = Service(workers, drain_seconds=1.5)
    yield started
    started.client.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.process.pid, signal.SIGKILL)
    started.process.communicate()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_service_drains(service: Service, sig: signal.Signals) -> None:
    """Told to stop, it is not ready at once, answers on for a while, and ends with 0."""
    service.process.send_signal(sig)
    told = time.monotonic()

    wait_until(lambda: service.ask("/readyz").status_code == 503, timeout=1)
    ready = service.ask("/readyz")
    answered = service.ask("/v2/health/ready").status_code, service.ask("/v1/models").status_code
    log = service.end()

    assert ready.json()["status"] == "draining"
    assert ready.headers["Connection"] == "close"
    assert answered == (503, 200)
    assert service.process.returncode == 0
    assert 1.4 < time.monotonic() - told < 5
    assert "Traceback" not in log


def test_what_is_in_flight_is_finished(service: Service) -> None:
    """Requests that were begun before the drain is over are answered."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(httpx.post, f"{service.client.base_url}/v1/sample", timeout=20, **SLOW)
            for _ in range(8)
        ]
        time.sleep(0.05)
        service.process.send_signal(signal.SIGTERM)
        statuses = [future.result().status_code for future in asked]
    log = service.end()

    assert statuses == [200] * 8
    assert service.process.returncode == 0
    assert "Traceback" not in log


def test_a_signal_to_all_processes_is_one_signal(service: Service) -> None:
    """Ctrl-C and a service manager signal each process of the group: it drains all the same."""
    os.killpg(service.process.pid, signal.SIGINT)

    wait_until(lambda: service.ask("/readyz").status_code == 503, timeout=1)
    log = service.end()

    assert service.process.returncode == 0
    assert "Traceback" not in log


def test_a_second_signal_ends_at_once(service: Service) -> None:
    """Who signals twice does not want to wait."""
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: service.ask("/readyz").status_code == 503, timeout=1)
    told = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(timeout=20)

    assert time.monotonic() - told < 1


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_workers_are_replaced_without_a_gap(service: Service) -> None:
    """At SIGHUP each worker gives way to a new one, and readiness stays on."""
    replaced = service.list_workers()
    service.process.send_signal(signal.SIGHUP)
    answers = []
    end = time.monotonic() + 30
    while replaced & service.list_children() and time.monotonic() < end:
        answers.append(service.ask("/readyz").status_code)
        time.sleep(0.02)
    gone = not replaced & service.list_children()
    service.process.send_signal(signal.SIGTERM)
    service.end()

    assert gone
    assert set(answers) == {200}
    assert service.process.returncode == 0
