"""Measure the requests that restarts lose, and the effect of slow clients on others.

usage: python -m benchmarks.reliability.restarts [--rate 200] [--stops 5] [FAULT ...]

An open loop sends at a fixed rate, each request over a new connection. If the connection is
refused, the request is retried until a server listens. A request is lost if its connection was
accepted but no response with status 200 followed.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.harness.records import RELIABILITY, Bound, Cell, Record, conclude, read_record
from benchmarks.harness.servers import HOST
from benchmarks.reliability.service_process import PORT, ServiceProcess, exchange

_REQUEST = f"POST /v1/sample?seed=7 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n".encode()
_SLOW_CLIENTS = 1000
_NAME = "restarts"
COLUMNS = (
    *("fault", "requests", "lost", "retried", "longest gap s", "longest response s"),
    *("max in flight", "exit status", "descriptors left"),
)
BOUNDS = (Bound("lost", 0),)
_STOP_BOUNDS = (*BOUNDS, Bound("exit status", 0, "=="))
_SLOW_BOUNDS = (*BOUNDS, Bound("descriptors left", 0))


@dataclass(slots=True)
class Load:
    """The requests sent during one fault."""

    sent: int = 0
    lost: int = 0
    """Requests whose connection was accepted, without a response of status 200."""
    retried: int = 0
    """Requests whose first connection was refused."""
    in_flight: int = 0
    max_in_flight: int = 0
    durations: list[float] = field(default_factory=list)
    """Seconds between the due time and the end of each request."""
    finished: list[float] = field(default_factory=list)
    """When each request ended, on the monotonic clock."""

    @property
    def longest_gap(self) -> float:
        """Longest time without a response, in seconds."""
        moments = sorted(self.finished)
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is injected while requests are sent."""

    title: str
    flags: tuple[str, ...]
    """Flags of `latentd serve`."""
    inject: Callable[[list[ServiceProcess]], Awaitable[int]]
    """Injects the fault; returns an exit status or a number of descriptors."""
    returns: str = "exit status"
    """Column of the returned value."""


@contextlib.contextmanager
def running(*flags: str) -> Iterator[list[ServiceProcess]]:
    """Start a service in a list, and stop the processes that the list contains at the end."""
    services = [ServiceProcess(*flags)]
    try:
        yield services
    finally:
        for service in services:
            service.stop()


async def send_one(load: Load, due: float) -> None:
    """Send a request, repeatedly while the connection is refused."""
    load.sent += 1
    load.in_flight += 1
    load.max_in_flight = max(load.max_in_flight, load.in_flight)
    retries = 0
    try:
        while True:
            try:
                head = await exchange(_REQUEST)
            except ConnectionRefusedError:
                retries += 1
                await asyncio.sleep(0.05)
            else:
                load.lost += b" 200 " not in head[:16]
                break
    except (OSError, asyncio.IncompleteReadError):
        load.lost += 1
    load.in_flight -= 1
    load.retried += retries > 0
    now = time.monotonic()
    load.finished.append(now)
    load.durations.append(now - due)


async def send_during(load: Load, rate: float, fault: Awaitable[int]) -> int:
    """Send at a rate until the fault ends; return its result."""
    injection = asyncio.ensure_future(fault)
    start = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    number = 0
    while not injection.done():
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(send_one(load, due))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
    if pending:
        await asyncio.wait(pending)
    return await injection


async def restart(services: list[ServiceProcess], flags: tuple[str, ...], times: int) -> int:
    """Stop the service with SIGTERM and start it again, several times; return its exit status."""
    status = 0
    for _ in range(times):
        await asyncio.sleep(1)
        services[-1].process.send_signal(signal.SIGTERM)
        status = status or await services[-1].wait_until_exit()
        services[:] = [ServiceProcess(*flags)]
        await services[-1].wait_until_ready()
    await asyncio.sleep(1)
    return status


async def replace_workers(services: list[ServiceProcess], times: int) -> int:
    """Send SIGHUP and wait until all worker processes are new, several times."""
    (service,) = services
    for _ in range(times):
        await asyncio.sleep(1)
        before = set(service.list_workers())
        service.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            while before & set(service.list_workers()):  # noqa: ASYNC110 - polls the kernel
                await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    return 0


async def connect_slowly(services: list[ServiceProcess]) -> int:
    """Send incomplete requests until the server closes all connections; return open descriptors.

    Half of the clients stop within the head, half within the body.
    """
    (service,) = services
    before = service.count_descriptors()
    parts = (
        b"GET /livez HTTP/1.1\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n",
    )

    async def send_part(part: bytes) -> None:
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(part)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    await asyncio.gather(*(send_part(parts[n % 2]) for n in range(_SLOW_CLIENTS)))
    await asyncio.sleep(3)
    return service.count_descriptors() - before


def list_faults(times: int) -> dict[str, Fault]:
    """Return the faults by name; `times` is the number of stops and of replacements."""
    one, two = ("--workers=1",), ("--workers=2",)
    return {
        "stop": Fault(f"{times} x restart, 1 worker", one, lambda s: restart(s, one, times)),
        "stop-2": Fault(f"{times} x restart, 2 workers", two, lambda s: restart(s, two, times)),
        "replace": Fault(f"{times} x SIGHUP, 2 workers", two, lambda s: replace_workers(s, times)),
        "slow": Fault(
            f"{_SLOW_CLIENTS} slow clients",
            ("--header-seconds=5", "--body-seconds=10"),
            connect_slowly,
            "descriptors left",
        ),
    }


async def measure(fault: Fault, rate: float) -> list[Cell]:
    """Return the row of a fault."""
    load = Load()
    with running(*fault.flags) as services:
        await services[0].wait_until_ready()
        result = await send_during(load, rate, fault.inject(services))
    return [
        *(fault.title, load.sent, load.lost, load.retried, round(load.longest_gap, 2)),
        *(round(max(load.durations), 2), load.max_in_flight),
        *(result if column == fault.returns else "-" for column in COLUMNS[-2:]),
    ]


def list_bounds(row: Sequence[Cell]) -> tuple[Bound, ...]:
    """Return the bounds of a row."""
    return _SLOW_BOUNDS if "slow clients" in str(row[0]) else _STOP_BOUNDS


def make_record(rows: Sequence[Sequence[Cell]], command: str) -> Record:
    """Return the record."""
    return Record(
        name=_NAME,
        title="Restarts and slow clients",
        command=command,
        goal="Restarts and rolling worker replacement lose no request whose connection was "
        "accepted, and exit with status 0; slow clients cost no other request and leave no open "
        "descriptor.",
        columns=COLUMNS,
        rows=rows,
        bounds=[list_bounds(row) for row in rows],
        remark="Open loop, a new connection for each request. *retried*: requests whose first "
        "connection was refused while the service restarted. SIGHUP replaces the workers one "
        "after the other.",
        seed=7,
    )


def add_rows(rows: Sequence[Sequence[Cell]]) -> list[Sequence[Cell]]:
    """Return the stored rows, with `rows` in place of those of the same faults."""
    file = RELIABILITY / f"{_NAME}.json"
    stored = read_record(file).rows if file.exists() else []
    measured = {_find_fault(row) for row in rows}
    return [*(row for row in stored if _find_fault(row) not in measured), *rows]


def _find_fault(row: Sequence[Cell]) -> str:
    """Return the title of a row without its number of repetitions."""
    return str(row[0]).rpartition(" x ")[2]


def main() -> int:
    """Inject the faults, update the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("faults", nargs="*", help="faults to inject (default: all)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--stops", type=int, default=5, help="restarts and replacements")
    parsed = parser.parse_args()
    faults = list_faults(parsed.stops)
    rows = [asyncio.run(measure(faults[name], parsed.rate)) for name in parsed.faults or faults]
    command = "python -m benchmarks.reliability.restarts"
    command += f" --rate {parsed.rate:g} --stops {parsed.stops}"
    return conclude(make_record(add_rows(rows), command))


if __name__ == "__main__":
    raise SystemExit(main())
