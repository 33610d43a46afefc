"""A `latentd serve` process on a fixed port, which a successor can reuse."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from benchmarks.harness.servers import HOST

PORT = 8917
_READY = f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
_START_SECONDS = 60.0
_STARTED = b"Application startup complete"
TIMEOUT = 20.0
"""Seconds for a request and for shutdown."""


class ServiceProcess:
    """A `latentd serve` and its worker processes."""

    def __init__(self, *flags: str, log: IO[bytes] | int = subprocess.DEVNULL) -> None:
        """Start the process; `log` receives its standard error."""
        command = [sys.executable, "-m", "service", "serve", f"--port={PORT}", "--threads=1"]
        self.process = subprocess.Popen([*command, *flags], stderr=log)  # noqa: S603 - our own

    def list_workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()
        ]

    def count_descriptors(self) -> int:
        """Return the number of open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def wait_until_ready(self) -> None:
        """Wait until `/readyz` returns 200.

        Raises:
            RuntimeError: It did not in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if b" 200 " in await exchange(_READY):
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"latentd was not ready within {_START_SECONDS:g} s.")

    async def wait_until_exit(self) -> int:
        """Wait for the end of the process and return its exit status."""
        return await asyncio.to_thread(self.process.wait, TIMEOUT)

    def stop(self) -> None:
        """Stop the process with SIGTERM, if it runs, and wait for its end."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(TIMEOUT)


def count_starts(log: IO[bytes]) -> int:
    """Return the number of workers that logged their start-up."""
    return os.pread(log.fileno(), 2**26, 0).count(_STARTED)


async def wait_for_workers(log: IO[bytes], workers: int) -> None:
    """Wait until all workers are ready; `/readyz` needs only one of them."""
    async with asyncio.timeout(_START_SECONDS):
        while count_starts(log) < workers:  # noqa: ASYNC110 - polls a file
            await asyncio.sleep(0.1)


async def exchange(request: bytes) -> bytes:
    """Send a request over a new connection and return the head of the response.

    Raises:
        ConnectionRefusedError: No process listens.
        OSError, asyncio.IncompleteReadError: The connection ended without a response.
    """
    reader, writer = await asyncio.open_connection(HOST, PORT)
    try:
        writer.write(request)
        async with asyncio.timeout(TIMEOUT):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
