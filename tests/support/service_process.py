"""The command `latentd serve` as a user runs it, in processes of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
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
        """Send a request over a connection of its own, so that any worker may answer."""
        return httpx.get(self.url + path, verify=TLS, timeout=10, **request)

    def classify(self, _number: int = 0, **headers: str) -> int:
        """Have a picture classified; return the status."""
        headers |= {"Content-Type": "image/png"}
        url = f"{self.url}/v1/classify"
        answer = httpx.post(url, content=make_png(77), headers=headers, verify=TLS, timeout=10)
        return answer.status_code

    def is_ready(self) -> bool:
        """Tell whether the service answers."""
        with contextlib.suppress(httpx.TransportError):
            return self.get("/readyz").status_code == 200
        return False

    def read_metrics(self) -> dict[str, float]:
        """Return the value of every series."""
        rows = [row for row in self.get("/metrics").text.splitlines() if not row.startswith("#")]
        return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}

    def stop(self) -> None:
        """End it, and see that it ends well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}


@contextlib.contextmanager
def start(log: IO[bytes] | int, *flags: str) -> Iterator[Service]:
    """Serve the shipped bundle `mnist` on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if "LATENTD_" not in name}
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--threads", "1"]
    command += ["--models-store", str(ROOT / "models_store"), "--default-model", "mnist", *flags]
    process = subprocess.Popen(command, stderr=log, env=environment, cwd=ROOT)
    service = Service(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(service.is_ready, timeout=60)
        yield service
    finally:
        process.kill()
        process.wait()


def find_workers(service: Service) -> list[int]:
    """Return the worker processes' ids, not the helper that multiprocessing starts."""
    children_file = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    children = [int(child) for child in children_file.read_text().split()]
    return [
        child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
