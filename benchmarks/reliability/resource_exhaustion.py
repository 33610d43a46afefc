"""A real service runs out of descriptors or threads, or clients hang up on it by hundreds.

python benchmarks/shortages.py
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from endings import conclude
from faults import PORT, Service
from loads import Request, Sender
from records import Cell, Record
from servers import HOST, Server

_HELD_SECONDS = 5.0
_RECOVERY_SECONDS = 5.0
_ASK_SECONDS = 0.05
_FILES, _CONNECTIONS = 128, 300
_DROPS, _AT_ONCE = 400, 8
_MOST_CPU = 50
_MOST_GROWTH = 20
_PIDS = Path("/sys/fs/cgroup/pids/latentd-benchmark")
_GOOD = Request("sample", "/v1/sample", b'{"count": 8, "seed": 1}')
_LARGE = Request("sample", "/v1/sample", json.dumps({"count": 128, "encoding": "array"}).encode())
COLUMNS = (
    *("shortage", "asked meanwhile", "of them answered", "CPU % meanwhile", "well again after s"),
    *("failed in 5 s after that", "descriptors left", "RSS + MB", "tracebacks"),
)


@contextlib.asynccontextmanager
async def few_files(server: Server) -> AsyncIterator[None]:
    """Let it open few files, all of which idle connections take."""
    usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (_FILES, usual[1]))
    opened = []
    for _ in range(_CONNECTIONS):
        with contextlib.suppress(OSError):
            opened.append((await asyncio.open_connection(HOST, server.port))[1])
    yield
    for writer in opened:
        writer.close()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, usual)


@contextlib.asynccontextmanager
async def no_threads(server: Server) -> AsyncIterator[None]:
    """Let it start no thread and no process more; by a control group, which root is under too."""
    _PIDS.mkdir(exist_ok=True)  # noqa: ASYNC240 - a file of the kernel
    (_PIDS / "cgroup.procs").write_text(str(server.pid))
    (_PIDS / "pids.max").write_text(str(server.threads))
    yield
    (_PIDS / "pids.max").write_text("max")


@contextlib.asynccontextmanager
async def dropped_uploads(server: Server) -> AsyncIterator[None]:
    """Hang up in the middle of many uploads."""
    head = f"POST /v1/encode HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: multipart/form-data; "
    head += "boundary=x\r\nContent-Length: 2000000\r\n\r\n--x\r\nContent-Disposition: form-data; "
    part = f'{head}name="images"; filename="a.png"\r\n\r\n'.encode() + bytes(100_000)
    await _drop(server, part, 0)
    yield


@contextlib.asynccontextmanager
async def dropped_answers(server: Server) -> AsyncIterator[None]:
    """Hang up in the middle of many long answers."""
    await _drop(server, _LARGE.pack(), 4096)
    yield


async def _drop(server: Server, sent: bytes, taken: int) -> None:
    async def drop() -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(sent)
        await writer.drain()
        if taken:
            await reader.readexactly(taken)
        writer.transport.abort()

    for _ in range(_DROPS // _AT_ONCE):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(*(drop() for _ in range(_AT_ONCE)))


SHORTAGES: dict[str, Callable[[Server], AbstractAsyncContextManager[None]]] = {
    f"{_FILES} descriptors, {_CONNECTIONS} idle connections": few_files,
    "no further thread": no_threads,
    f"{_DROPS} clients that hang up in an upload": dropped_uploads,
    f"{_DROPS} clients that hang up in an answer": dropped_answers,
}


async def ask_for(server: Server, seconds: float) -> list[bool]:
    """Ask again and again, each time on a new connection; tell which were answered well."""
    until = time.monotonic() + seconds
    told = []
    while time.monotonic() < until:
        told.append(await ask(server))
        await asyncio.sleep(_ASK_SECONDS)
    return told


async def ask(server: Server) -> bool:
    """Tell whether a good request is answered well."""
    sender = Sender(server.port)
    answer = await sender.send(_GOOD, _GOOD.pack(), time.monotonic())
    await sender.close()
    return answer.status == 200  # noqa: PLR2004 - HTTP


async def wait_until_well(server: Server) -> float:
    """Return the seconds until a good request is answered well."""
    start = time.monotonic()
    while not await ask(server):  # noqa: ASYNC110 - asks another process
        await asyncio.sleep(_ASK_SECONDS)
    return time.monotonic() - start


def read_cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measure:
    """One shortage of one service."""

    server: Server
    log: Path

    async def run(
        self, title: str, bring: Callable[[Server], AbstractAsyncContextManager[None]]
    ) -> list[Cell]:
        """Return the row of a shortage."""
        server = self.server
        async with bring(server):  # what it takes the first time stays with the process
            await ask(server)
        await wait_until_well(server)
        await ask_for(server, 1)
        files, memory = server.descriptors, server.rss
        async with bring(server):
            before, start = read_cpu(server.pid), time.monotonic()
            asked = await ask_for(server, _HELD_SECONDS)
            cpu = (read_cpu(server.pid) - before) / (time.monotonic() - start)
        recovery = await wait_until_well(server)
        after = await ask_for(server, _RECOVERY_SECONDS)
        await asyncio.sleep(1)
        return [
            *(title, len(asked), sum(asked), round(100 * cpu), round(recovery, 2)),
            *(after.count(False), server.descriptors - files, round(server.rss - memory, 1)),
            self.log.read_bytes().count(b"Traceback"),
        ]


def run(title: str, bring: Callable[[Server], AbstractAsyncContextManager[None]]) -> list[Cell]:
    """Serve, bring a shortage, and return its row."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            service = Service("--header-seconds=60", log=file)
        try:
            asyncio.run(service.wait_until_ready())
            return asyncio.run(Measure(Server(service.process.pid, PORT), log).run(title, bring))
        finally:
            service.process.terminate()
            service.process.wait()
            if _PIDS.exists():
                _PIDS.rmdir()


def judge(rows: list[list[Cell]]) -> list[str]:
    """Return what does not hold."""
    findings = {
        "it was busy with nothing": any(float(row[3]) > _MOST_CPU for row in rows[:1]),
        "it was not well again soon": any(float(row[4]) > _RECOVERY_SECONDS for row in rows),
        "requests failed afterwards": any(row[5] for row in rows),
        "descriptors were left": any(float(row[6]) > 0 for row in rows),
        "memory grew": any(float(row[7]) > _MOST_GROWTH for row in rows),
        "there were tracebacks": any(row[8] for row in rows),
    }
    return [text for text, is_so in findings.items() if is_so]


def main() -> int:
    """Run, write the record, and return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    given = parser.parse_args()
    rows = []
    for title, bring in SHORTAGES.items():
        rows.append(run(title, bring))
        print(*rows[-1], sep="\t", flush=True)
    findings = judge(rows)
    record = Record(
        name="shortages",
        title="Out of descriptors or threads, and clients that hang up",
        command="python benchmarks/shortages.py",
        goal=f"it waits for descriptors without being busy (under {_MOST_CPU} % of a CPU), is "
        f"well again within {_RECOVERY_SECONDS:g} s, and keeps no descriptor and at most "
        f"{_MOST_GROWTH} MB; no traceback.",
        columns=COLUMNS,
        rows=rows,
        remark="Each is brought twice, and measured the second time. "
        f"For {_HELD_SECONDS:g} s meanwhile, or after the clients, a small request "
        f"every {_ASK_SECONDS} s on a new connection. {given.remark}".strip(),
    )
    return conclude(record, findings)


if __name__ == "__main__":
    raise SystemExit(main())
