"""Real servers under test, `latentd serve` first of all, and what the kernel tells of them."""

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

HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_KIB = 1024
_MARK = "BENCHMARK_RUN"
"""The variable by which the processes that a server started, and they started, are known."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service with one worker."""

    pid: int
    port: int

    @property
    def rss(self) -> float:
        """Resident memory in MB (2**20 bytes)."""
        return self._read("status", "VmRSS") / _KIB

    @property
    def pss(self) -> float:
        """Resident memory in MB (2**20 bytes), what is shared divided among those who share it."""
        return self._read("smaps_rollup", "Pss") / _KIB

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return self._read("status", "Threads")

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
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
) -> Iterator[Server]:
    """Serve the shipped bundles on a free port, pinned to a CPU, or several, if any is named.

    Args:
        arguments: Flags of `latentd serve`.
        cpu: The CPU, where it is one.
        cpus: The CPUs, where they are several.
        poll: Seconds between two looks at whether it is ready.

    Raises:
        RuntimeError: it was not ready in time, or did not stop cleanly.
    """
    port = find_port()
    command = [sys.executable, "-m", "service.__main__", "serve", "--port", str(port), *arguments]
    ready = urllib.request.Request(f"http://{HOST}:{port}/readyz")
    pinned = cpus if cpu is None else (cpu,)
    with run_server(command, port, ready, cpus=pinned, poll=poll) as (server, process):
        yield server
        process.send_signal(signal.SIGTERM)
        if process.wait(_STOP_SECONDS):
            raise RuntimeError(f"latentd ended with {process.returncode}")


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
) -> Iterator[tuple[Server, "subprocess.Popen[bytes]"]]:
    """Run a server and everything that it starts; what it says is dropped.

    Args:
        command: What starts it.
        port: Where it will listen.
        ready: What it answers well once it is ready.
        cpus: What it, and all that it starts, is pinned to; none: nothing.
        variables: Of the environment, besides those that are there.
        folder: Where it runs.
        poll: Seconds between two looks at whether it is ready.

    Raises:
        RuntimeError: it was not ready in time.
    """
    mark = uuid.uuid4().hex
    process = subprocess.Popen(  # noqa: S603 - our own
        pin(command, cpus),
        cwd=folder,
        env=os.environ | dict(variables or {}) | {_MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, ready, poll)
        yield Server(process.pid, port), process
    finally:
        _stop(process, mark)


def pin(command: Sequence[str], cpus: Sequence[int]) -> list[str]:
    """Return a command that runs on these CPUs only; none, or no `taskset`: wherever it likes."""
    taskset = shutil.which("taskset") if cpus else None
    return [taskset, "-c", ",".join(map(str, cpus)), *command] if taskset else [*command]


def find_port() -> int:
    """Return a TCP port that is free."""
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
    raise RuntimeError(f"{ready.full_url} was not ready in time")


def _stop(process: "subprocess.Popen[bytes]", mark: str) -> None:
    """End a server as its users would, then whatever it left behind."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    while left := _list_marked(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        time.sleep(0.05)
    process.wait()


def _list_marked(mark: str) -> list[int]:
    """Return the ids of the living processes that inherited a mark."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in file.read_bytes():
                found.append(int(file.parent.name))
    return found
