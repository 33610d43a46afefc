"""What clients lose when the service stops or changes its workers, and by hundreds of slow clients.

usage: python benchmarks/faults.py [--rate 200] [--stops 5] [FAULT ...]

An open loop sends at a fixed rate, each request on a connection of its own; one that found nobody
listening tries again until somebody does, one that got through and no answer is lost.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from records import RELIABILITY, Record, read_record, write_record
from servers import HOST

PORT = 8917
_REQUEST = f"POST /v1/sample?seed=7 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n".encode()
_READY = f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
_TIMEOUT = 20.0
_START_SECONDS = 60.0
_SLOW_CLIENTS = 1000
COLUMNS = (
    *("fault", "sent", "lost", "retried", "longest gap s", "longest wait s"),
    *("most in flight", "exit status"),
)


@dataclass(slots=True)
class Load:
    """What came of the requests of one fault."""

    sent: int = 0
    lost: int = 0
    """Connected, and got no answer, or another than 200."""
    retried: int = 0
    """Found nobody listening at first."""
    in_flight: int = 0
    most_in_flight: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from when each was to be sent until its answer."""
    answered: list[float] = field(default_factory=list)
    """When answers came, by the monotonic clock."""

    @property
    def longest_gap(self) -> float:
        """The longest time without any answer, in seconds."""
        moments = sorted(self.answered)
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)


class Service:
    """A `latentd serve` and its worker processes."""

    def __init__(self, *flags: str, log: IO[bytes] | int = subprocess.DEVNULL) -> None:
        """Start it."""
        command = [sys.executable, "-m", "service", "serve", f"--port={PORT}", "--threads=1"]
        self.process = subprocess.Popen([*command, *flags], stderr=log)  # noqa: S603 - our own

    def list_workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()
        ]

    def count_files(self) -> int:
        """Return how many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def wait_until_ready(self) -> None:
        """Wait for its first `/readyz` with 200."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if b" 200 " in await exchange(_READY):
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError("latentd was not ready in time")

    async def wait_until_ended(self) -> int:
        """Wait for its end and return its exit status."""
        return await asyncio.to_thread(self.process.wait, _TIMEOUT)


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[list[Service]]:
    """Start a service; whatever stands in the list at the end is stopped."""
    services = [Service(*flags)]
    try:
        yield services
    finally:
        for service in services:
            if service.process.poll() is None:
                service.process.send_signal(signal.SIGTERM)
                service.process.wait(_TIMEOUT)


async def exchange(request: bytes) -> bytes:
    """Send a request on a new connection and return the head of its answer.

    Raises:
        ConnectionRefusedError: nobody listens.
        OSError, asyncio.IncompleteReadError: the connection ended without an answer.
    """
    reader, writer = await asyncio.open_connection(HOST, PORT)
    try:
        writer.write(request)
        async with asyncio.timeout(_TIMEOUT):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


async def send_one(load: Load, due: float) -> None:
    """Send a request, again and again while nobody listens."""
    load.sent += 1
    load.in_flight += 1
    load.most_in_flight = max(load.most_in_flight, load.in_flight)
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
    load.answered.append(now)
    load.waits.append(now - due)


async def send_while(load: Load, rate: float, fault: Awaitable[int]) -> int:
    """Send at a rate until the fault is over; return its exit status."""
    injected = asyncio.ensure_future(fault)
    start = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    number = 0
    while not injected.done():
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(send_one(load, due))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
    if pending:
        await asyncio.wait(pending)
    return await injected


async def stop_and_start(services: list[Service], flags: tuple[str, ...], stops: int) -> int:
    """Stop the service with SIGTERM and start it again, several times."""
    status = 0
    for _ in range(stops):
        await asyncio.sleep(1)
        services[-1].process.send_signal(signal.SIGTERM)
        status = status or await services[-1].wait_until_ended()
        services[:] = [Service(*flags)]
        await services[-1].wait_until_ready()
    await asyncio.sleep(1)
    return status


async def replace_workers(services: list[Service], times: int) -> int:
    """Send SIGHUP, and wait until every worker is another, several times."""
    (service,) = services
    for _ in range(times):
        await asyncio.sleep(1)
        before = set(service.list_workers())
        service.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(_START_SECONDS):
            while before & set(service.list_workers()):  # noqa: ASYNC110 - asks the kernel
                await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    return 0


async def come_slowly(services: list[Service]) -> int:
    """Open slow connections, half in the head and half in the body, until all are cut off."""
    (service,) = services
    before = service.count_files()
    halves = (
        b"GET /livez HTTP/1.1\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n",
    )

    async def creep(half: bytes) -> None:
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(half)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    await asyncio.gather(*(creep(halves[n % 2]) for n in range(_SLOW_CLIENTS)))
    await asyncio.sleep(3)
    return service.count_files() - before


def list_faults(
    stops: int,
) -> dict[str, tuple[str, tuple[str, ...], Callable[..., Awaitable[int]]]]:
    """Return each fault's row, its service's flags, and what injects it."""
    two = ("--workers=2",)
    patience = ("--header-seconds=5", "--body-seconds=10")
    again = ("", "--workers=1"), ("-2", "--workers=2")
    return {
        **{
            f"stop{suffix}": (
                f"{stops} x SIGTERM and start again, {flag[2:].replace('=', ' ')}",
                (flag,),
                lambda s, f=flag: stop_and_start(s, (f,), stops),
            )
            for suffix, flag in again
        },
        "replace": (f"{stops} x SIGHUP, 2 workers", two, lambda s: replace_workers(s, stops)),
        "slow": (f"{_SLOW_CLIENTS} slow clients (status: files left open)", patience, come_slowly),
    }


async def measure(
    title: str, flags: tuple[str, ...], inject: Callable[..., Awaitable[int]], rate: float
) -> tuple[str | int | float, ...]:
    """Return the row of a fault."""
    load = Load()
    with serving(*flags) as services:
        await services[0].wait_until_ready()
        status = await send_while(load, rate, inject(services))
    worst = round(max(load.waits), 2)
    counts = (load.sent, load.lost, load.retried)
    return (title, *counts, round(load.longest_gap, 2), worst, load.most_in_flight, status)


def main() -> None:
    """Inject the faults; print each one's row and put it into the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", help="which; every one if none is named")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--stops", type=int, default=5)
    given = parser.parse_args()
    faults = list_faults(given.stops)
    for name in given.faults or faults:
        row = asyncio.run(measure(*faults[name], given.rate))
        print(*row, sep="\t", flush=True)
        keep(row, f"python benchmarks/faults.py --rate {given.rate:g} --stops {given.stops}")


def keep(row: tuple[str | int | float, ...], command: str) -> None:
    """Put a row into the record, in place of the same fault's of an earlier run."""
    file = RELIABILITY / "faults.json"
    rows = [tuple(old) for old in read_record(file).rows] if file.exists() else []
    goal = (
        "a stop or a rolling restart loses no request that got through; slow clients cost others "
        "nothing"
    )
    remark = (
        "Open loop, a new connection for each request; the machine was shared with other work. "
        "retried: nobody listened at first, while the service was started again."
    )
    rows = [old for old in rows if old[0] != row[0]]
    title = "Stops and slow clients"
    write_record(Record("faults", title, command, goal, COLUMNS, [*rows, row], remark, seed=7))


if __name__ == "__main__":
    main()
