"""Models change under load: is any request lost, or answered by a mixture?

A real server serves a bundle of which version after version is published, in turn from two sources
whose answers differ, with bundles in between that must be refused. Meanwhile an open loop sends
one picture over connections that stay; each answer is compared with what the bundle that it names
(`X-Model-Digest`) is known to answer.

    python benchmarks/swaps.py
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from publishing import NAME, SOURCES, find_shipped, publish_copy, publish_spoiled
from records import RELIABILITY, Cell, Record, write_record
from servers import HOST, Server, run_latentd

CONNECTIONS = 32
LEAST_SHARE = 4
WARM_SECONDS = 2.0
SETTLE_SECONDS = 3.0
TIMEOUT = 20.0
BODY = json.dumps({"images": [[[0.5] * 28] * 28]}).encode()
COLUMNS = (
    "workers",
    "requests",
    "failed",
    "answer of another model",
    "swaps",
    "refused",
    "until all serve the new, median s",
    "worst s",
    "p99 quiet ms",
    "p99 while swapping ms",
    "memory growth MB",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request to the bundle that changes."""

    sent: float
    """When it was due, in seconds of the monotonic clock."""
    came: float
    status: int
    """0 where no answer came."""
    version: int
    digest: str
    body: bytes


@dataclass(slots=True)
class Sender:
    """Connections used in turn, so that every worker gets its share."""

    port: int
    _idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=deque)

    async def connect(self, count: int) -> None:
        """Open connections."""
        opening = [asyncio.open_connection(HOST, self.port) for _ in range(count)]
        self._idle.extend(await asyncio.gather(*opening))

    async def send(self, model: str, due: float) -> Answer:
        """Encode the picture; `due` is when that should be sent."""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, headers, body = await self._exchange(model)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return Answer(due, time.monotonic(), 0, 0, "", b"")
        version = int(headers.get("x-model", "@0").partition("@")[2])
        digest = headers.get("x-model-digest", "")
        return Answer(due, time.monotonic(), status, version, digest, body)

    async def _exchange(self, model: str) -> tuple[int, dict[str, str], bytes]:
        if not self._idle:
            await self.connect(1)
        reader, writer = self._idle.popleft()
        writer.write(
            f"POST /v1/encode?model={model} HTTP/1.1\r\nHost: {HOST}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
            + BODY
        )
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self._idle.append((reader, writer))
        return int(first.split()[1]), headers, body

    def close(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()


async def send_open_loop(sender: Sender, rate: float, until: float) -> list[Answer]:
    """Send `rate` requests a second until a time, whatever is answered; return the answers."""
    tasks = []
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(sender.send(NAME, due)))
        due += 1 / rate
    return [await task for task in tasks]


async def publish_in_turn(store: Path, swaps: int, seconds: float) -> dict[int, float]:
    """Publish versions and refused ones in between, evenly; return when each good one came."""
    published = {}
    start = time.monotonic()
    for number in range(swaps):
        await asyncio.sleep(max(0.0, start + number * seconds / swaps - time.monotonic()))
        version = await asyncio.to_thread(publish_copy, store, SOURCES[number % 2])
        published[version] = time.monotonic()
        await asyncio.sleep(seconds / swaps / 2)
        await asyncio.to_thread(publish_spoiled, store, number)
    return published


def measure_memory(server: Server) -> float:
    """Return the resident memory of the server and its workers in MB (2**20 bytes)."""
    return sum(Server(pid, server.port).rss for pid in [server.pid, *_list_children(server.pid)])


def _list_children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def count_descriptors(server: Server) -> list[int]:
    """Return how many files and sockets the server and each of its workers have open."""
    pids = [server.pid, *_list_children(server.pid)]
    return [Server(pid, server.port).descriptors for pid in pids]


@dataclass(slots=True)
class Run:
    """What one run measured."""

    workers: int
    quiet: list[Answer]
    busy: list[Answer]
    published: dict[int, float]
    refused: int
    known: dict[str, bytes]
    """The right answer by the bundle's digest."""
    growth: float

    def to_row(self) -> tuple[Cell, ...]:
        """Return the cells of the table."""
        answers = [*self.quiet, *self.busy]
        good = [one for one in answers if one.status == 200]  # noqa: PLR2004 - HTTP
        waits = self._list_waits(good)
        return (
            self.workers,
            len(answers),
            len(answers) - len(good),
            sum(self.known.get(one.digest) != one.body for one in good),
            len(waits),
            self.refused,
            round(statistics.median(waits), 2),
            round(max(waits), 2),
            _percentile(self.quiet),
            _percentile(self.busy),
            round(self.growth, 1),
        )

    def _list_waits(self, good: Sequence[Answer]) -> list[float]:
        """Return for each version how long after it came an older one last answered.

        Versions that no answer names are left out: they would not count as swaps.
        """
        seen = {one.version for one in good}
        return [
            max([0.0, *(one.came - at for one in good if one.version < version)])
            for version, at in self.published.items()
            if version in seen
        ]


def _percentile(answers: Sequence[Answer]) -> float:
    seconds = sorted(one.came - one.sent for one in answers)
    return round(1000 * seconds[int(0.99 * (len(seconds) - 1))], 1)


async def connect_to_all(sender: Sender, server: Server, workers: int) -> None:
    """Open connections until every worker holds some: the kernel gives a burst to one of them.

    Raises:
        RuntimeError: a worker takes none.
    """
    idle = count_descriptors(server)
    for number in range(10 * CONNECTIONS):
        # While a worker is at work another one takes the connection.
        now = time.monotonic()
        await asyncio.gather(sender.connect(1), *(sender.send(NAME, now) for _ in range(4)))
        shares = [now - then for now, then in zip(count_descriptors(server), idle, strict=True)]
        if number >= CONNECTIONS and sum(share >= LEAST_SHARE for share in shares) >= workers:
            return
    raise RuntimeError(f"a worker takes no connections: {shares}")


async def measure(
    server: Server, store: Path, workers: int, swaps: int, given: argparse.Namespace
) -> Run:
    """Send at rest, then while versions are published."""
    sender = Sender(server.port)
    await connect_to_all(sender, server, workers)
    known = {}
    for source in SOURCES:
        answer = await sender.send(source, time.monotonic())
        known[answer.digest] = answer.body
    if len(known) != len(SOURCES):
        raise RuntimeError("the sources do not differ")
    await send_open_loop(sender, given.rate, time.monotonic() + WARM_SECONDS)
    quiet = await send_open_loop(sender, given.rate, time.monotonic() + given.quiet_seconds)
    before = measure_memory(server)
    end = time.monotonic() + given.seconds + SETTLE_SECONDS
    published, busy = await asyncio.gather(
        publish_in_turn(store, swaps, given.seconds), send_open_loop(sender, given.rate, end)
    )
    growth = measure_memory(server) - before
    sender.close()
    return Run(workers, quiet, busy, published, swaps, known, growth)


def run(workers: int, swaps: int, given: argparse.Namespace) -> Run:
    """Serve a store of its own with so many workers, publish so many versions, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for source in SOURCES:
            shutil.copytree(find_shipped(source), store / source / "1")
            publish_copy(store, source)
        flags = ["--models-store", folder, "--workers", str(workers)]
        with run_latentd(flags) as server:
            return asyncio.run(measure(server, store, workers, swaps, given))


def main() -> None:
    """Measure, print and keep the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of publishing")
    parser.add_argument("--quiet-seconds", type=float, default=15, help="before that")
    parser.add_argument("--swaps", type=int, nargs="+", default=[12, 60], help="versions published")
    parser.add_argument("--rate", type=float, default=60, help="requests a second")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, default=RELIABILITY)
    given = parser.parse_args()
    rows = [
        run(workers, swaps, given).to_row() for workers in given.workers for swaps in given.swaps
    ]
    for row in rows:
        for name, cell in zip(COLUMNS, row, strict=True):
            print(f"{name:36} {cell}")
        print()
    record = Record(
        name="swaps",
        title="Models change under load",
        command=(
            f"python benchmarks/swaps.py --seconds {given.seconds:g} "
            f"--swaps {' '.join(map(str, given.swaps))} "
            f"--rate {given.rate:g} --workers {' '.join(map(str, given.workers))}"
        ),
        goal="no request fails, and none is answered by a model other than the one it names",
        columns=COLUMNS,
        rows=rows,
        remark=(
            "Each swap is a version published into the store and found by watching it; as many "
            "bundles that are cut, tampered with, of an unknown schema or no graph come between. "
            "The sender and the publisher share the CPUs with the server."
        ),
    )
    write_record(record, given.output)


if __name__ == "__main__":
    main()
