"""Measure the requests lost when a worker process is killed or hangs under load.

usage: python -m benchmarks.reliability.worker_crashes [--crashes 5] [FAULT ...]

An open loop sends short requests, and some long ones before each crash, each over a new connection.
The target worker is stopped briefly while its open connections are counted: at most these requests
may be lost. Each lost request is retried once.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from benchmarks.harness.http_load import OK, Request, send_once
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.reliability.service_process import (
    PORT,
    TIMEOUT,
    ServiceProcess,
    count_starts,
    wait_for_workers,
)

_SHORT = Request("short", "/v1/sample", b'{"seed": 7}')
_LONG = Request("long", "/v1/sample", b'{"seed": 7, "count": 512}')
_RATE = 100
_LATE_SECONDS = 1.0
_PAUSE_SECONDS = 2.0
_BURST, _BURST_SECONDS = 12, 0.1
"""Number of long requests before each crash, and how long before."""
_READY_SECONDS = 5.0
_DETECTION_SECONDS = 5.0
"""After this time, the supervisor replaces a worker whose event loop does not respond."""
COLUMNS = (
    *("fault", "crashes", "requests", "in flight in the workers", "lost"),
    *("lost 1 s after the exit", "lost after one retry", "longest response s"),
    *("new worker ready, median s", "max s"),
)


@dataclass(slots=True)
class Outcome:
    """The requests and recoveries of one fault that was injected several times."""

    sent: int = 0
    lost: list[float] = field(default_factory=list)
    """When each lost request was sent, on the monotonic clock."""
    lost_retries: int = 0
    durations: list[float] = field(default_factory=list)
    """Seconds until each response, including its retry."""
    crashes: list[float] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)
    """When each target worker had exited."""
    in_flight: int = 0
    """Requests in flight in the target workers."""
    ready: list[float] = field(default_factory=list)
    """Seconds until each new worker was ready."""

    def to_row(self, title: str) -> list[Cell]:
        """Return the row of the fault."""
        spans = list(zip(self.crashes, self.exits, strict=True))
        late = sum(
            all(one > end + _LATE_SECONDS or one < start - TIMEOUT for start, end in spans)
            for one in self.lost
        )
        return [
            *(title, len(self.crashes), self.sent, self.in_flight, len(self.lost), late),
            *(self.lost_retries, round(max(self.durations), 2)),
            *(round(statistics.median(self.ready), 2), round(max(self.ready), 2)),
        ]


async def succeeds(request: Request) -> bool:
    """Send a request over a new connection; return whether its status is 200."""
    return (await send_once(PORT, request, TIMEOUT)).status == OK


async def send_with_retry(outcome: Outcome, request: Request) -> None:
    """Send a request, and retry it once if it is lost."""
    outcome.sent += 1
    sent = time.monotonic()
    if not await succeeds(request):
        outcome.lost.append(sent)
        outcome.lost_retries += not await succeeds(request)
    outcome.durations.append(time.monotonic() - sent)


async def send_during(outcome: Outcome, fault: asyncio.Task[None]) -> None:
    """Send short requests at a constant rate until the fault ends."""
    start = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    number = 0
    while not fault.done():
        await asyncio.sleep(max(0.0, start + number / _RATE - time.monotonic()))
        task = asyncio.create_task(send_with_retry(outcome, _SHORT))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
    if pending:
        await asyncio.wait(pending)


def count_sockets(pid: int) -> int:
    """Return the number of open sockets of a process; 0 after its exit."""
    count = 0
    with contextlib.suppress(OSError):
        for file in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - names are enough
            with contextlib.suppress(OSError):
                count += os.readlink(f"/proc/{pid}/fd/{file}").startswith("socket:")  # noqa: PTH115
    return count


async def crash_repeatedly(
    service: ServiceProcess,
    log: IO[bytes],
    crash: Callable[[int], None],
    times: int,
    outcome: Outcome,
) -> None:
    """Crash one of two workers several times, each time after both are ready."""
    idle = min(count_sockets(pid) for pid in service.list_workers())
    burst: list[asyncio.Task[None]] = []
    for number in range(times):
        await asyncio.sleep(_PAUSE_SECONDS)
        target = service.list_workers()[number % 2]
        started = count_starts(log)
        burst += [asyncio.create_task(send_with_retry(outcome, _LONG)) for _ in range(_BURST)]
        await asyncio.sleep(_BURST_SECONDS)
        os.kill(target, signal.SIGSTOP)
        max_sockets = count_sockets(target)
        outcome.crashes.append(time.monotonic())
        crash(target)
        while count_starts(log) == started:
            await asyncio.sleep(0.005)
            sockets = count_sockets(target)
            max_sockets = max(max_sockets, sockets)
            if not sockets and len(outcome.exits) < len(outcome.crashes):
                outcome.exits.append(time.monotonic())
        outcome.in_flight += max_sockets - idle
        outcome.ready.append(time.monotonic() - outcome.crashes[-1])
    await asyncio.wait(burst)
    await asyncio.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to crash a worker that is stopped by SIGSTOP."""

    title: str
    crash: Callable[[int], None]
    max_ready_seconds: float


FAULTS = {
    "kill": Fault(
        "kill -9 of one of 2 workers", lambda pid: os.kill(pid, signal.SIGKILL), _READY_SECONDS
    ),
    "hang": Fault(
        "kill -STOP of one of 2 workers", lambda _: None, _READY_SECONDS + _DETECTION_SECONDS
    ),
}


@contextlib.contextmanager
def running(log: IO[bytes]) -> Iterator[ServiceProcess]:
    """Run a service with two workers that logs to a file."""
    service = ServiceProcess("--workers=2", log=log)
    try:
        yield service
    finally:
        service.stop()


async def measure(fault: Fault, times: int) -> list[Cell]:
    """Return the row of a fault."""
    outcome = Outcome()
    with tempfile.TemporaryFile() as log, running(log) as service:
        await service.wait_until_ready()
        await wait_for_workers(log, 2)
        crashes = asyncio.create_task(crash_repeatedly(service, log, fault.crash, times, outcome))
        await send_during(outcome, crashes)
        await crashes
    return outcome.to_row(fault.title)


def list_bounds(fault: Fault, row: Sequence[Cell]) -> list[Bound]:
    """Return the bounds of a fault's row."""
    return [
        Bound("lost", row[COLUMNS.index("in flight in the workers")]),
        Bound("lost 1 s after the exit", 0),
        Bound("lost after one retry", 0),
        Bound("max s", fault.max_ready_seconds),
    ]


def make_record(rows: dict[str, list[Cell]], times: int) -> Record:
    """Return the record of rows by fault."""
    return Record(
        name="worker_crashes",
        title="Workers that crash or hang under load",
        command=f"python -m benchmarks.reliability.worker_crashes --crashes {times}",
        goal="A crash loses only requests in flight in its worker, and none later; with one retry "
        f"no request is lost; a new worker is ready within {_READY_SECONDS:g} s, after a hang "
        f"within {_READY_SECONDS:g} s of its detection, which takes {_DETECTION_SECONDS:g} s.",
        columns=COLUMNS,
        rows=[*rows.values()],
        bounds=[list_bounds(FAULTS[name], row) for name, row in rows.items()],
        remark=f"Open loop, a new connection for each request: {_RATE} short requests per second "
        f"(`POST /v1/sample`), and {_BURST} long ones (512 images) {_BURST_SECONDS} s before each "
        "crash. *in flight*: open sockets of the target workers at the crash. Each worker has one "
        "inference thread; the load generator shares the CPUs.",
        seed=7,
    )


def main() -> int:
    """Inject the faults, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("faults", nargs="*", help="faults to inject (default: all)")
    parser.add_argument("--crashes", type=int, default=5, help="crashes for each fault")
    parsed = parser.parse_args()
    rows = {}
    for name in parsed.faults or FAULTS:
        rows[name] = asyncio.run(measure(FAULTS[name], parsed.crashes))
    return conclude(make_record(rows, parsed.crashes))


if __name__ == "__main__":
    raise SystemExit(main())
