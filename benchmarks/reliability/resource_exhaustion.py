"""Measure recovery from exhausted descriptors and threads, and from clients that disconnect.

python -m benchmarks.reliability.resource_exhaustion
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness.http_load import OK, Request, send_once
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import HOST, Server
from benchmarks.reliability.service_process import PORT, ServiceProcess

_FAULT_SECONDS = 5.0
_RECOVERY_SECONDS = 5.0
_PERIOD_SECONDS = 0.05
_MAX_FILES, _CONNECTIONS = 128, 300
_DISCONNECTS, _CONCURRENT = 400, 8
_MAX_CPU = 50
_MAX_GROWTH = 20
_PIDS = Path("/sys/fs/cgroup/pids/latentd-benchmark")
_SMALL = Request("sample", "/v1/sample", b'{"count": 8, "seed": 1}')
_LARGE = Request("sample", "/v1/sample", json.dumps({"count": 128, "encoding": "array"}).encode())
COLUMNS = (
    *("fault", "requests meanwhile", "successful", "CPU % meanwhile", "recovery s"),
    *("failed in 5 s after recovery", "descriptors left", "RSS + MB", "tracebacks"),
)
_BOUNDS = (
    Bound("recovery s", _RECOVERY_SECONDS),
    Bound("failed in 5 s after recovery", 0),
    Bound("descriptors left", 0),
    Bound("RSS + MB", _MAX_GROWTH),
    Bound("tracebacks", 0),
)
Fault: TypeAlias = Callable[[Server], AbstractAsyncContextManager[None]]
"""Injects a fault on entry and removes it on exit."""


@contextlib.asynccontextmanager
async def exhaust_descriptors(server: Server) -> AsyncIterator[None]:
    """Limit the server's descriptors, and use them up with idle connections."""
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (_MAX_FILES, limits[1]))
    writers = []
    for _ in range(_CONNECTIONS):
        with contextlib.suppress(OSError):
            writers.append((await asyncio.open_connection(HOST, server.port))[1])
    yield
    for writer in writers:
        writer.close()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)


@contextlib.asynccontextmanager
async def forbid_threads(server: Server) -> AsyncIterator[None]:
    """Forbid new threads and processes with a control group, which also applies to root."""
    _PIDS.mkdir(exist_ok=True)  # noqa: ASYNC240 - a kernel file
    (_PIDS / "cgroup.procs").write_text(str(server.pid))
    (_PIDS / "pids.max").write_text(str(server.threads))
    yield
    (_PIDS / "pids.max").write_text("max")


@contextlib.asynccontextmanager
async def disconnect_in_uploads(server: Server) -> AsyncIterator[None]:
    """Abort many connections in the middle of an upload."""
    head = f"POST /v1/encode HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: multipart/form-data; "
    head += "boundary=x\r\nContent-Length: 2000000\r\n\r\n--x\r\nContent-Disposition: form-data; "
    part = f'{head}name="images"; filename="a.png"\r\n\r\n'.encode() + bytes(100_000)
    await _disconnect(server, part, 0)
    yield


@contextlib.asynccontextmanager
async def disconnect_in_responses(server: Server) -> AsyncIterator[None]:
    """Abort many connections in the middle of a large response."""
    await _disconnect(server, _LARGE.pack(), 4096)
    yield


async def _disconnect(server: Server, content: bytes, received: int) -> None:
    """Send bytes, receive `received` bytes and abort the connection, many times."""

    async def disconnect() -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(content)
        await writer.drain()
        if received:
            await reader.readexactly(received)
        writer.transport.abort()

    for _ in range(_DISCONNECTS // _CONCURRENT):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(*(disconnect() for _ in range(_CONCURRENT)))


FAULTS: dict[str, Fault] = {
    f"{_MAX_FILES} descriptors, {_CONNECTIONS} idle connections": exhaust_descriptors,
    "no new threads": forbid_threads,
    f"{_DISCONNECTS} clients disconnect in an upload": disconnect_in_uploads,
    f"{_DISCONNECTS} clients disconnect in a response": disconnect_in_responses,
}


async def succeeds(server: Server) -> bool:
    """Return whether a small request over a new connection succeeds."""
    return (await send_once(server.port, _SMALL)).status == OK


async def send_repeatedly(server: Server, seconds: float) -> list[bool]:
    """Send small requests for some seconds; return which ones succeed."""
    until = time.monotonic() + seconds
    results = []
    while time.monotonic() < until:
        results.append(await succeeds(server))
        await asyncio.sleep(_PERIOD_SECONDS)
    return results


async def time_recovery(server: Server) -> float:
    """Return the seconds until a small request succeeds."""
    start = time.monotonic()
    while not await succeeds(server):  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(_PERIOD_SECONDS)
    return time.monotonic() - start


def read_cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measures faults of one server."""

    server: Server
    log: Path
    """Standard error of the server."""

    async def run(self, title: str, fault: Fault) -> list[Cell]:
        """Return the row of a fault, which is injected twice and measured the second time.

        The first time allocates memory that the process keeps.
        """
        server = self.server
        async with fault(server):
            await succeeds(server)
        await time_recovery(server)
        await send_repeatedly(server, 1)
        descriptors, memory = server.descriptors, server.rss
        async with fault(server):
            cpu_before, start = read_cpu(server.pid), time.monotonic()
            during = await send_repeatedly(server, _FAULT_SECONDS)
            cpu = (read_cpu(server.pid) - cpu_before) / (time.monotonic() - start)
        recovery = await time_recovery(server)
        after = await send_repeatedly(server, _RECOVERY_SECONDS)
        await asyncio.sleep(1)
        return [
            *(title, len(during), sum(during), round(100 * cpu), round(recovery, 2)),
            *(after.count(False), server.descriptors - descriptors),
            *(round(server.rss - memory, 1), self.log.read_bytes().count(b"Traceback")),
        ]


def run(title: str, fault: Fault) -> list[Cell]:
    """Start a service, inject a fault, and return its row."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            service = ServiceProcess("--header-seconds=60", log=file)
        try:
            asyncio.run(service.wait_until_ready())
            server = Server(service.process.pid, PORT)
            return asyncio.run(Measurement(server, log).run(title, fault))
        finally:
            service.stop()
            if _PIDS.exists():
                _PIDS.rmdir()


def make_record(rows: Sequence[Sequence[Cell]], remark: str) -> Record:
    """Return the record; the first row is that of exhausted descriptors."""
    return Record(
        name="resource_exhaustion",
        title="Exhausted descriptors or threads, and clients that disconnect",
        command="python -m benchmarks.reliability.resource_exhaustion",
        goal="While descriptors are exhausted the service uses at most "
        f"{_MAX_CPU} % of a CPU. After each fault it recovers within {_RECOVERY_SECONDS:g} s, "
        f"leaves no open descriptor, keeps at most {_MAX_GROWTH} MB of memory, and logs no "
        "traceback.",
        columns=COLUMNS,
        rows=rows,
        bounds=[(*_BOUNDS, Bound("CPU % meanwhile", _MAX_CPU)), *(_BOUNDS for _ in rows[1:])],
        remark="Each fault is injected twice and measured the second time. During a fault, or "
        f"after the clients have disconnected, a small request is sent every {_PERIOD_SECONDS} s "
        f"over a new connection for {_FAULT_SECONDS:g} s. {remark}".strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    rows = []
    for title, fault in FAULTS.items():
        rows.append(run(title, fault))
        print(*rows[-1], sep="\t", flush=True)
    return conclude(make_record(rows, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
