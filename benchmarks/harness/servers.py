"""Start and stop real servers, and read their memory, threads and descriptors from /proc."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_KIB = 1024
_RUN_VARIABLE = "BENCHMARK_RUN"
"""Environment variable that identifies all descendants of a started server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service with one worker process."""

    pid: int
    port: int

    @property
    def rss(self) -> float:
        """Resident memory in MB (2**20 bytes)."""
        return self._read("status", "VmRSS") / _KIB

    @property
    def pss(self) -> float:
        """Proportional set size in MB (2**20 bytes): shared memory is divided among its users."""
        return self._read("smaps_rollup", "Pss") / _KIB

    @property
    def threads(self) -> int:
        """Number of threads."""
        return self._read("status", "Threads")

    @property
    def descriptors(self) -> int:
        """Number of open files and sockets."""
        return len([*Path(f"/proc/{self.pid}/fd").iterdir()])

    def _read(self, file: str, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/{file}").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


@contextlib.contextmanager
def run_latentd(
    arguments: Sequence[str] = (),
    cpu: int | None = None,
    cpus: Sequence[int] = (),
    poll: float = _POLL_SECONDS,
    log: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[Server]:
    """Serve the shipped bundles on a free port.

    Args:
        arguments: Flags of `latentd serve`.
        cpu: The CPU to pin the server to, if there is one.
        cpus: The CPUs to pin the server to, if there are several.
        poll: Seconds between two readiness checks.
        log: Receives standard error.

    Raises:
        RuntimeError: The server was not ready in time or exited with an error.
    """
    port = find_port()
    command = [sys.executable, "-m", "service.__main__", "serve", "--port", str(port), *arguments]
    ready = urllib.request.Request(f"http://{HOST}:{port}/readyz")
    pinned = cpus if cpu is None else (cpu,)
    with run_server(command, port, ready, cpus=pinned, poll=poll, log=log) as (server, process):
        yield server
        process.send_signal(signal.SIGTERM)
        if process.wait(_STOP_SECONDS):
            raise RuntimeError(f"latentd exited with status {process.returncode}.")


@contextlib.contextmanager
def run_server(
    command: Sequence[str],
    port: int,
    ready: urllib.request.Request,
    *,
    cpus: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
    poll: float = _POLL_SECONDS,
    log: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[tuple[Server, "subprocess.Popen[bytes]"]]:
    """Run a server without its standard output, and end it with all its descendants.

    Args:
        command: The command that starts the server.
        port: The port that the server listens on.
        ready: A request that succeeds when the server is ready.
        cpus: The CPUs to pin the server to; empty for no pinning.
        variables: Additional environment variables.
        folder: The working directory.
        poll: Seconds between two readiness checks.
        log: Receives standard error.

    Raises:
        RuntimeError: The server was not ready in time.
    """
    run_id = uuid.uuid4().hex
    process = subprocess.Popen(  # noqa: S603 - a command of the benchmarks
        pin(command, cpus),
        cwd=folder,
        env=os.environ | dict(variables or {}) | {_RUN_VARIABLE: run_id},
        stdout=subprocess.DEVNULL,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, ready, poll)
        yield Server(process.pid, port), process
    finally:
        _stop(process, run_id)


def pin(command: Sequence[str], cpus: Sequence[int]) -> list[str]:
    """Return a command that runs on these CPUs only; unchanged without CPUs or `taskset`."""
    taskset = shutil.which("taskset") if cpus else None
    return [taskset, "-c", ",".join(map(str, cpus)), *command] if taskset else [*command]


def find_port() -> int:
    """Return a free TCP port."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", ready: urllib.request.Request, poll: float
) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(ready, timeout=5),  # noqa: S310 - the loopback
        ):
            return
        time.sleep(poll)
    raise RuntimeError(f"{ready.full_url} was not ready within {_READY_SECONDS:g} s.")


def _stop(process: "subprocess.Popen[bytes]", run_id: str) -> None:
    """Stop a server with SIGTERM, then kill its remaining descendants."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    while remaining := _list_descendants(run_id):
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        time.sleep(0.05)
    process.wait()


def _list_descendants(run_id: str) -> list[int]:
    """Return the ids of living processes that inherited a run's variable."""
    variable = f"{_RUN_VARIABLE}={run_id}".encode()
    pids = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable in file.read_bytes():
                pids.append(int(file.parent.name))
    return pids
