"""The command `latentd serve` in separate processes, as a user runs it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

from tests.support.image_files import make_png
from tests.support.servers import TLS, wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """A running command."""

    process: subprocess.Popen[bytes]
    url: str

    def get(self, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - as httpx
        """Send a request on a new connection, so that any worker may respond."""
        return httpx.get(self.url + path, verify=TLS, timeout=10, **request)

    def classify(self, _number: int = 0, **headers: str) -> int:
        """Classify an image; return the status of the response."""
        headers |= {"Content-Type": "image/png"}
        url = f"{self.url}/v1/classify"
        response = httpx.post(url, content=make_png(77), headers=headers, verify=TLS, timeout=10)
        return response.status_code

    def is_ready(self) -> bool:
        """Return whether `/readyz` is 200."""
        with contextlib.suppress(httpx.TransportError):
            return self.get("/readyz").status_code == 200
        return False

    def read_metrics(self) -> dict[str, float]:
        """Return the value of every series."""
        rows = [row for row in self.get("/metrics").text.splitlines() if not row.startswith("#")]
        return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}

    def stop(self) -> None:
        """Send SIGTERM, and check the exit status."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}

    def read_log(self) -> str:
        """Wait for the end of the process; return its log, for `start(subprocess.PIPE)`."""
        _, log = self.process.communicate(timeout=20)
        return log.decode()


def find_free_port() -> int:
    """Return a port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def make_command(port: int, *flags: str) -> list[str]:
    """Return the command that serves the shipped bundle `mnist`, with one inference thread."""
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--threads", "1"]
    return [*command, "--models-store", str(ROOT / "models_store"), *flags]


@contextlib.contextmanager
def start(log: IO[bytes] | int, *flags: str, prefix: Sequence[str] = ()) -> Iterator[Service]:
    """Serve the shipped bundle `mnist` on a free port, in a new process group.

    `prefix` is a command that replaces itself by the service.
    """
    port = find_free_port()
    environment = {name: value for name, value in os.environ.items() if "LATENTD_" not in name}
    process = subprocess.Popen(
        [*prefix, *make_command(port, "--default-model", "mnist", *flags)],
        stderr=log,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
    service = Service(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(service.is_ready, timeout=60)
        yield service
    finally:
        process.kill()
        process.communicate()


def find_workers(service: Service) -> list[int]:
    """Return the process ids of the workers, without multiprocessing's resource tracker."""
    children_file = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    children = [int(child) for child in children_file.read_text().split()]
    return [
        child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
