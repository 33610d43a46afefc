"""What clients lose when a worker is killed, hangs or has no memory, with real work in its hands.

usage: python benchmarks/deaths.py [--hits 5] [FAULT ...]

An open loop sends quick requests and slow ones between them, each on a connection of its own. The
worker that will be hit is stopped for a moment and its connections are counted: those are the
requests that may be lost. Each lost one is sent once more.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from faults import PORT, Service
from loads import Request
from records import Cell, Record, write_record
from servers import HOST

_QUICK = Request("quick", "/v1/sample", b'{"seed": 7}').pack()
_SLOW = Request("slow", "/v1/sample", b'{"seed": 7, "count": 512}').pack()
_QUICK_RATE, _SLOW_RATE = 100, 6
_LATE_SECONDS = 1.0
_BETWEEN_SECONDS = 2.0
_TIMEOUT = 20.0
_STARTED = b"Application startup complete"
_SPARE_BYTES = 8 * 2**20
COLUMNS = (
    *("fault", "hits", "sent", "in flight on the hit workers", "lost", "lost later than 1 s"),
    *("lost after one retry", "longest wait s", "new worker ready, median s", "worst s"),
)


@dataclass(slots=True)
class Outcome:
    """What came of one fault, injected several times."""

    sent: int = 0
    lost: list[float] = field(default_factory=list)
    """When each request was sent that got no whole answer, by the monotonic clock."""
    lost_again: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds until each request's answer, its retry's if need be."""
    hits: list[float] = field(default_factory=list)
    in_flight: int = 0
    """Requests that the hit workers had in hand."""
    ready: list[float] = field(default_factory=list)
    """Seconds until each new worker was ready."""

    def to_row(self, title: str) -> list[Cell]:
        """Return the table's row."""
        late = [
            one for one in self.lost if min(abs(one - hit) for hit in self.hits) > _LATE_SECONDS
        ]
        return [
            *(title, len(self.hits), self.sent, self.in_flight, len(self.lost), len(late)),
            *(self.lost_again, round(max(self.waits), 2)),
            *(round(statistics.median(self.ready), 2), round(max(self.ready), 2)),
        ]


async def ask(packed: bytes) -> bool:
    """Send a request on a new connection; tell whether a whole, good answer came."""
    writer = None
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(HOST, PORT)
            writer.write(packed)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
            return head.startswith(b"http/1.1 200 ")
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


async def send_one(outcome: Outcome, packed: bytes) -> None:
    """Send a request, and once more where it was lost."""
    outcome.sent += 1
    sent = time.monotonic()
    if not await ask(packed):
        outcome.lost.append(sent)
        outcome.lost_again += not await ask(packed)
    outcome.waits.append(time.monotonic() - sent)


async def send_while(
    outcome: Outcome, packed: bytes, rate: float, fault: asyncio.Task[None]
) -> None:
    """Send at a rate until the fault is over."""
    start = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    number = 0
    while not fault.done():
        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
        task = asyncio.create_task(send_one(outcome, packed))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
    if pending:
        await asyncio.wait(pending)


def count_sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(file.readlink()).startswith("socket:")
    return count


def starve(pid: int) -> None:
    """Let a process have hardly more memory than it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _SPARE_BYTES
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


async def hit_often(
    service: Service, log: IO[bytes], hit: Callable[[int], None], times: int, outcome: Outcome
) -> None:
    """Hit one of two workers again and again, each time once two are ready."""
    idle = {pid: count_sockets(pid) for pid in service.list_workers()}
    for number in range(times):
        await asyncio.sleep(_BETWEEN_SECONDS)
        victim = service.list_workers()[number % 2]
        started = count_starts(log)
        os.kill(victim, signal.SIGSTOP)
        outcome.in_flight += count_sockets(victim) - min(idle.values())
        outcome.hits.append(time.monotonic())
        hit(victim)
        while count_starts(log) == started:  # noqa: ASYNC110 - asks a file
            await asyncio.sleep(0.02)
        outcome.ready.append(time.monotonic() - outcome.hits[-1])
    await asyncio.sleep(_BETWEEN_SECONDS)


def count_starts(log: IO[bytes]) -> int:
    """Return how many workers have told in the log that they are ready."""
    return os.pread(log.fileno(), 2**26, 0).count(_STARTED)


def _go_on_without_memory(pid: int) -> None:
    starve(pid)
    os.kill(pid, signal.SIGCONT)


FAULTS: dict[str, tuple[str, Callable[[int], None]]] = {
    "kill": ("kill -9 of one of 2 workers", lambda pid: os.kill(pid, signal.SIGKILL)),
    "hang": ("kill -STOP of one of 2 workers", lambda _: None),
    "memory": ("no memory for one of 2 workers (RLIMIT_AS)", _go_on_without_memory),
}


@contextlib.contextmanager
def serving(log: IO[bytes]) -> Iterator[Service]:
    """Run a service of two workers that logs to a file."""
    service = Service("--workers=2", log=log)
    try:
        yield service
    finally:
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(_TIMEOUT)


async def measure(title: str, hit: Callable[[int], None], times: int) -> list[Cell]:
    """Return the row of a fault."""
    outcome = Outcome()
    with tempfile.TemporaryFile() as log, serving(log) as service:
        await service.wait_until_ready()
        while count_starts(log) < 2:  # noqa: ASYNC110, PLR2004 - asks a file; both workers
            await asyncio.sleep(0.1)
        fault = asyncio.create_task(hit_often(service, log, hit, times, outcome))
        await asyncio.gather(
            send_while(outcome, _QUICK, _QUICK_RATE, fault),
            send_while(outcome, _SLOW, _SLOW_RATE, fault),
        )
        await fault
    return outcome.to_row(title)


def main() -> int:
    """Inject the faults, write the record, and return 1 where more is lost than may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", help="which; every one if none is named")
    parser.add_argument("--hits", type=int, default=5, help="of each")
    given = parser.parse_args()
    rows = []
    for name in given.faults or FAULTS:
        rows.append(asyncio.run(measure(*FAULTS[name], given.hits)))
        print(*rows[-1], sep="\t", flush=True)
    write_record(
        Record(
            name="deaths",
            title="Workers that die, hang or have no memory, with work in hand",
            command=f"python benchmarks/deaths.py --hits {given.hits}",
            goal="a worker loses its own requests in flight and no other, none after 1 s; with "
            "one retry nothing is lost; a new one is ready within 5 s (of a hang: of its discovery "
            "5 s later).",
            columns=COLUMNS,
            rows=rows,
            remark=f"Open loop, a connection for each request: {_QUICK_RATE} quick ones a second "
            f"(`POST /v1/sample`) and {_SLOW_RATE} slow ones (512 images). In flight: the sockets "
            "that the hit worker had open when it was hit. One thread for inference a worker; the "
            "sender shares the CPUs.",
            seed=7,
        )
    )
    return int(any(row[4] > row[3] or row[6] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
