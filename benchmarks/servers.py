"""A real `latentd serve` under test, and what the kernel tells of it."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Server:
    """A running service with one worker."""

    pid: int
    port: int

    @property
    def rss(self) -> float:
        """Resident memory in MB (2**20 bytes)."""
        return self._read_status("VmRSS") / _KIB

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return self._read_status("Threads")

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len([*Path(f"/proc/{self.pid}/fd").iterdir()])

    def _read_status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


@contextlib.contextmanager
def run_latentd(arguments: Sequence[str] = (), cpu: int | None = None) -> Iterator[Server]:
    """Serve the shipped bundles on a free port, pinned to a CPU if one is named.

    Raises:
        RuntimeError: it was not ready in time, or did not stop cleanly.
    """
    port = _find_port()
    command = [sys.executable, "-m", "service.__main__", "serve", "--port", str(port), *arguments]
    pinned = shutil.which("taskset") if cpu is not None else None
    if pinned:
        command = [pinned, "-c", str(cpu), *command]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        _wait_until_ready(process, port)
        yield Server(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(_STOP_SECONDS):
            raise RuntimeError(f"latentd ended with {process.returncode}")


def _find_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=1),
        ):
            return
        time.sleep(0.05)
    raise RuntimeError("latentd was not ready in time")
