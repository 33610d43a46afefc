"""Verify that no request is lost or mixed up while new versions are published under load.

    python -m benchmarks.reliability.rolling_reloads

A server serves a bundle whose versions are published alternately from two sources with different
responses; invalid versions are published between them. Meanwhile an open loop sends one image over
keep-alive connections. Each response is compared with the known response of the bundle that it
names in `X-Model-Digest`.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.http_load import OK, Client, Request, Response, percentile, send_open_loop
from benchmarks.harness.records import RELIABILITY, Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd
from benchmarks.reliability.bundle_versions import (
    NAME,
    SOURCES,
    copy_sources,
    publish_copy,
    publish_invalid,
)
from benchmarks.reliability.service_process import wait_for_workers

_CONNECTIONS = 32
_MIN_CONNECTIONS = 4
"""For each worker process."""
_WARM_UP_SECONDS = 2.0
_SETTLE_SECONDS = 3.0
_BODY = json.dumps({"images": [[[0.5] * 28] * 28]}).encode()
COLUMNS = (
    *("workers", "requests", "failed", "wrong responses", "new versions", "invalid versions"),
    *("until all workers serve the new version, median s", "max s"),
    *("p99 before ms", "p99 during reloads ms", "memory growth MB"),
)
_BOUNDS = (Bound("failed", 0), Bound("wrong responses", 0))


def make_request(model: str) -> Request:
    """Return a request to encode the image with a model."""
    return Request(model, f"/v1/encode?model={model}", _BODY)


REQUEST = make_request(NAME)


def get_digest(response: Response) -> str:
    """Return the digest of the bundle that a response names; empty without one."""
    return response.headers.get("x-model-digest", "")


def get_version(response: Response) -> int:
    """Return the version of the bundle that a response names; 0 without one."""
    return int(response.headers.get("x-model", "@0").partition("@")[2])


async def publish_alternately(store: Path, count: int, seconds: float) -> dict[int, float]:
    """Publish valid and invalid versions at even intervals; return when each valid one was."""
    published = {}
    start = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, start + number * seconds / count - time.monotonic()))
        version = await asyncio.to_thread(publish_copy, store, SOURCES[number % 2])
        published[version] = time.monotonic()
        await asyncio.sleep(seconds / count / 2)
        await asyncio.to_thread(publish_invalid, store, number)
    return published


def list_processes(server: Server) -> list[Server]:
    """Return the server process and its worker processes."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [server, *(Server(int(pid), server.port) for pid in children)]


def measure_memory(server: Server) -> float:
    """Return the resident memory of the server and its workers in MB (2**20 bytes)."""
    return sum(process.rss for process in list_processes(server))


def count_descriptors(server: Server) -> list[int]:
    """Return the number of open files and sockets of the server and of each worker."""
    return [process.descriptors for process in list_processes(server)]


@dataclass(slots=True)
class Run:
    """The measurements of one run."""

    workers: int
    before: list[Response]
    during: list[Response]
    published: dict[int, float]
    """When each version was published, on the monotonic clock."""
    invalid: int
    expected: dict[str, bytes]
    """Correct body by the digest of the bundle."""
    growth: float

    def to_row(self) -> list[Cell]:
        """Return the row of the run."""
        responses = [*self.before, *self.during]
        successes = [one for one in responses if one.status == OK]
        delays = self._list_delays(successes)
        return [
            self.workers,
            len(responses),
            len(responses) - len(successes),
            sum(self.expected.get(get_digest(one)) != one.body for one in successes),
            len(delays),
            self.invalid,
            round(statistics.median(delays), 2),
            round(max(delays), 2),
            *(_find_p99_ms(part) for part in (self.before, self.during)),
            round(self.growth, 1),
        ]

    def _list_delays(self, successes: Sequence[Response]) -> list[float]:
        """Return for each version the seconds until the last response of an older version.

        Versions that no response names are skipped: nothing shows when they were loaded.
        """
        versions = [(get_version(one), one.at) for one in successes]
        served = {version for version, _ in versions}
        return [
            max([0.0, *(at - published for older, at in versions if older < version)])
            for version, published in self.published.items()
            if version in served
        ]


def _find_p99_ms(responses: Sequence[Response]) -> float:
    return round(1000 * percentile([one.seconds for one in responses], 0.99), 1)


async def connect_to_all(client: Client, server: Server, workers: int) -> None:
    """Open connections until every worker has some; the kernel may give a burst to one worker.

    Raises:
        RuntimeError: A worker has too few connections, or the number of processes changed.
    """
    idle = count_descriptors(server)
    for number in range(10 * _CONNECTIONS):
        # A busy worker leaves new connections to the others.
        sends = [client.send(REQUEST) for _ in range(4)]
        await asyncio.gather(client.connect(1), *sends)
        counts = count_descriptors(server)
        if len(counts) != len(idle):
            raise RuntimeError(f"Expected {len(idle)} processes, got {len(counts)}.")
        shares = [now - then for now, then in zip(counts, idle, strict=True)]
        if number >= _CONNECTIONS and sum(n >= _MIN_CONNECTIONS for n in shares) >= workers:
            return
    raise RuntimeError(f"Expected {_MIN_CONNECTIONS} connections per worker, got {shares}.")


async def find_responses(client: Client) -> dict[str, bytes]:
    """Return the correct body by the digest of each source.

    Raises:
        RuntimeError: The sources have the same digest.
    """
    responses = [await client.send(make_request(source)) for source in SOURCES]
    expected = {get_digest(response): response.body for response in responses}
    if len(expected) != len(SOURCES):
        raise RuntimeError(f"Expected {len(SOURCES)} digests, got {len(expected)}.")
    return expected


async def measure(
    server: Server, store: Path, workers: int, count: int, parsed: argparse.Namespace
) -> Run:
    """Send requests before and while `count` versions are published."""
    client = Client(server.port, rotate=True)
    await connect_to_all(client, server, workers)
    expected = await find_responses(client)
    requests = itertools.repeat(REQUEST)
    await send_open_loop(client, requests, parsed.rate, _WARM_UP_SECONDS)
    before = await send_open_loop(client, requests, parsed.rate, parsed.quiet_seconds)
    memory = measure_memory(server)
    published, during = await asyncio.gather(
        publish_alternately(store, count, parsed.seconds),
        send_open_loop(client, requests, parsed.rate, parsed.seconds + _SETTLE_SECONDS),
    )
    growth = measure_memory(server) - memory
    client.close()
    return Run(workers, before, during, published, count, expected, growth)


def run(workers: int, count: int, parsed: argparse.Namespace) -> Run:
    """Serve a temporary store, publish `count` versions, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        copy_sources(store)
        for source in SOURCES:
            publish_copy(store, source)
        flags = ["--models-store", folder, "--workers", str(workers)]
        with tempfile.TemporaryFile() as log, run_latentd(flags, log=log) as server:
            asyncio.run(wait_for_workers(log, workers))
            return asyncio.run(measure(server, store, workers, count, parsed))


def make_record(rows: Sequence[Sequence[Cell]], arguments: str) -> Record:
    """Return the record; `arguments` are those of the command line."""
    return Record(
        name="rolling_reloads",
        title="New versions under load",
        command=f"python -m benchmarks.reliability.rolling_reloads {arguments}",
        goal="No request fails, and each response comes from the model that it names.",
        columns=COLUMNS,
        rows=rows,
        bounds=[_BOUNDS for _ in rows],
        remark=(
            "The service finds each new version by watching the store. Between valid versions the "
            "script publishes as many invalid ones: with a missing file, a flipped bit, an unknown "
            "schema version, or a file that is not an ONNX graph. Load generator and publisher "
            "share the CPUs with the server."
        ),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="duration of publishing")
    parser.add_argument("--quiet-seconds", type=float, default=15, help="duration before it")
    parser.add_argument("--versions", type=int, nargs="+", default=[12, 60], help="per run")
    parser.add_argument("--rate", type=float, default=60, help="requests per second")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="folder of the record")
    parsed = parser.parse_args()
    rows = [
        run(workers, count, parsed).to_row()
        for workers in parsed.workers
        for count in parsed.versions
    ]
    arguments = (
        f"--seconds {parsed.seconds:g} --versions {' '.join(map(str, parsed.versions))} "
        f"--rate {parsed.rate:g} --workers {' '.join(map(str, parsed.workers))}"
    )
    return conclude(make_record(rows, arguments), parsed.output)


if __name__ == "__main__":
    raise SystemExit(main())
