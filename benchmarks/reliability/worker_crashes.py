"""What clients lose when a worker is killed or hangs, with real work in its hands.

usage: python benchmarks/deaths.py [--hits 5] [FAULT ...]

An open loop sends quick requests, and some slow ones before each hit, each on a connection of its
own. The worker that will be hit is stopped for a moment and its connections are counted: those are
the requests that may be lost. Each lost one is sent once more.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from faults import PORT, Service
from loads import Request
from records import Cell, Record, write_record
from servers import HOST

_QUICK = Request("quick", "/v1/sample", b'{"seed": 7}').pack()
_SLOW = Request("slow", "/v1/sample", b'{"seed": 7, "count": 512}').pack()
_RATE = 100
_LATE_SECONDS = 1.0
_BETWEEN_SECONDS = 2.0
_BURST, _BURST_SECONDS = 12, 0.1
"""So many slow requests are sent, so long before each hit."""
_TIMEOUT = 20.0
_STARTED = b"Application startup complete"
COLUMNS = (
    *("fault", "hits", "sent", "in flight on the hit workers", "lost", "lost 1 s after its end"),
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
    ends: list[float] = field(default_factory=list)
    """When each worker that was hit had ended."""
    in_flight: int = 0
    """Requests that the hit workers had in hand."""
    ready: list[float] = field(default_factory=list)
    """Seconds until each new worker was ready."""

    def to_row(self, title: str) -> list[Cell]:
        """Return the table's row."""
        spans = list(zip(self.hits, self.ends, strict=True))
        late = sum(
            all(one > end + _LATE_SECONDS or one < hit - _TIMEOUT for hit, end in spans)
            for one in self.lost
        )
        return [
            *(title, len(self.hits), self.sent, self.in_flight, len(self.lost), late),
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


async def send_while(outcome: Outcome, fault: asyncio.Task[None]) -> None:
    """Send quick requests at a rate until the fault is over."""
    start = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    number = 0
    while not fault.done():
        await asyncio.sleep(max(0.0, start + number / _RATE - time.monotonic()))
        task = asyncio.create_task(send_one(outcome, _QUICK))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
    if pending:
        await asyncio.wait(pending)


def count_sockets(pid: int) -> int:
    """Return how many sockets a process has open; none where it has ended."""
    count = 0
    with contextlib.suppress(OSError):
        for file in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - names are enough
            with contextlib.suppress(OSError):
                count += os.readlink(f"/proc/{pid}/fd/{file}").startswith("socket:")  # noqa: PTH115
    return count


async def hit_often(
    service: Service, log: IO[bytes], hit: Callable[[int], None], times: int, outcome: Outcome
) -> None:
    """Hit one of two workers again and again, each time once two are ready."""
    idle = min(count_sockets(pid) for pid in service.list_workers())
    burst: list[asyncio.Task[None]] = []
    for number in range(times):
        await asyncio.sleep(_BETWEEN_SECONDS)
        victim = service.list_workers()[number % 2]
        started = count_starts(log)
        burst += [asyncio.create_task(send_one(outcome, _SLOW)) for _ in range(_BURST)]
        await asyncio.sleep(_BURST_SECONDS)
        os.kill(victim, signal.SIGSTOP)
        most = count_sockets(victim)
        outcome.hits.append(time.monotonic())
        hit(victim)
        while count_starts(log) == started:
            await asyncio.sleep(0.005)
            held = count_sockets(victim)
            most = max(most, held)
            if not held and len(outcome.ends) < len(outcome.hits):
                outcome.ends.append(time.monotonic())
        outcome.in_flight += most - idle
        outcome.ready.append(time.monotonic() - outcome.hits[-1])
    await asyncio.wait(burst)
    await asyncio.sleep(_BETWEEN_SECONDS)


def count_starts(log: IO[bytes]) -> int:
    """Return how many workers have told in the log that they are ready."""
    return os.pread(log.fileno(), 2**26, 0).count(_STARTED)


FAULTS: dict[str, tuple[str, Callable[[int], None]]] = {
    "kill": ("kill -9 of one of 2 workers", lambda pid: os.kill(pid, signal.SIGKILL)),
    "hang": ("kill -STOP of one of 2 workers", lambda _: None),
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
        await send_while(outcome, fault)
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
            title="Workers that die or hang, with work in hand",
            command=f"python benchmarks/deaths.py --hits {given.hits}",
            goal="a worker loses its own requests in flight and no other, none later; with "
            "one retry nothing is lost; a new one is ready within 5 s (of a hang: of its discovery "
            "5 s later).",
            columns=COLUMNS,
            rows=rows,
            remark=f"Open loop, a connection for each request: {_RATE} quick ones a second "
            f"(`POST /v1/sample`), and {_BURST} slow ones (512 images) {_BURST_SECONDS} s "
            "before each hit. In flight: the sockets that the hit workers had open when they were "
            "hit. One thread for inference a worker; the sender shares the CPUs.",
            seed=7,
        )
    )
    return int(any(row[4] > row[3] or row[6] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
