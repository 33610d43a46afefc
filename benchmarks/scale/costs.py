"""Measure what one request of each operation costs, and extrapolate to many.

    python -m benchmarks.scale.costs

CPU time is that of the server's process, so that other work on the machine changes it little. The
extrapolation is arithmetic; no machine here serves 1,000,000 requests per second.
"""

import argparse
import http.client
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.harness.http_load import OK
from benchmarks.harness.records import Cell, Record, conclude
from benchmarks.harness.servers import HOST, Server, run_latentd
from benchmarks.scale import SCALE

_UTILIZATION = 0.6
"""Part of a core that a plan uses: docs/scale.md shows what a higher part does to the queue."""
_WARM_UP = 100
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in dollars; list prices differ between providers by a factor of two."""

    core_hour: float
    gib_hour: float
    log_gib: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request of an operation takes."""

    operation: str
    cpu_seconds: float
    received: float
    """Bytes of the request."""
    sent: float
    """Bytes of the response."""
    logged: float
    """Bytes of the access log."""

    def to_row(self, memory_mb: float, prices: Prices) -> list[Cell]:
        """Return the row: one request, then 1, 1,000 and 1,000,000 requests per second."""
        cells: list[Cell] = [
            self.operation,
            round(1000 * self.cpu_seconds, 2),
            round(self.received),
            round(self.sent),
        ]
        for rate in (1, 1_000, 1_000_000):
            cores = max(1, math.ceil(rate * self.cpu_seconds / _UTILIZATION))
            month = 730 * cores * (prices.core_hour + prices.gib_hour * memory_mb / 1024)
            month += rate * self.logged / 2**30 * 730 * 3600 * prices.log_gib
            cells += [cores, f"{_round(month):,}"]
        gbits = 8 * 1_000_000 * (self.received + self.sent) / 1e9
        cells += [_round(1_000_000 * self.cpu_seconds / _UTILIZATION * memory_mb / 1024)]
        return [*cells, _round(gbits), _round(self.logged * 1_000_000 / _MIB)]


def _round(value: float) -> int:
    """Round to two significant digits: the figures are no more exact."""
    digits = 1 - math.floor(math.log10(max(value, 1)))
    return round(value, min(digits, 0)).__int__()


def read_cpu_seconds(server: Server) -> float:
    """Return the CPU time of the process so far."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def list_examples(connection: http.client.HTTPConnection) -> Iterator[tuple[str, bytes]]:
    """Yield the path of each operation with the JSON example of the OpenAPI document."""
    connection.request("GET", "/openapi.json")
    paths: dict[str, Any] = json.loads(connection.getresponse().read())["paths"]
    for path, methods in paths.items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        if path.startswith("/v1/") and example is not None:
            yield path, json.dumps(example).encode()


def measure(server: Server, log: IO[bytes], path: str, body: bytes, count: int) -> Cost:
    """Send `count` requests over one connection, and return the mean cost of one.

    Raises:
        RuntimeError: A response is not 200.
    """
    connection = http.client.HTTPConnection(HOST, server.port)
    head = {"Content-Type": "application/json"}
    sent = 0
    cpu, logged = 0.0, 0
    for number in range(_WARM_UP + count):
        if number == _WARM_UP:
            cpu, logged, sent = read_cpu_seconds(server), os.fstat(log.fileno()).st_size, 0
        connection.request("POST", path, body, head)
        response = connection.getresponse()
        sent += len(response.read()) + len(str(response.headers)) + 17
        if response.status != OK:
            raise RuntimeError(f"{path} responds with {response.status}.")
    cpu = read_cpu_seconds(server) - cpu
    logged = os.fstat(log.fileno()).st_size - logged
    name = path.removeprefix("/v1/")
    return Cost(name, cpu / count, len(body) + 150, sent / count, logged / count)


def main() -> int:
    """Measure every operation, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000, help="requests of each operation")
    parser.add_argument("--core-hour", type=float, default=0.04, help="dollars")
    parser.add_argument("--gib-hour", type=float, default=0.005, help="dollars")
    parser.add_argument("--log-gib", type=float, default=0.5, help="dollars for a GiB of logs")
    flags = parser.parse_args()
    prices = Prices(flags.core_hour, flags.gib_hour, flags.log_gib)
    with (
        tempfile.TemporaryFile() as log,
        run_latentd(["--threads=1", "--default-model=mnist"], log=log) as server,
    ):
        examples = list(list_examples(http.client.HTTPConnection(HOST, server.port)))
        costs = [measure(server, log, *example, flags.count) for example in examples]
        memory_mb = server.rss
    rows = [cost.to_row(memory_mb, prices) for cost in costs]
    return conclude(make_record(rows, memory_mb, prices, flags.count), SCALE)


def make_record(rows: list[list[Cell]], memory_mb: float, prices: Prices, count: int) -> Record:
    """Return the record."""
    return Record(
        name="costs",
        title="What a request costs, and what many cost",
        command="python -m benchmarks.scale.costs",
        goal="none. The table is a plan for capacity and money.",
        columns=(
            *("operation", "CPU ms", "bytes in", "bytes out"),
            *("cores at 1 /s", "$ a month", "cores at 1,000 /s", "$ a month"),
            *("cores at 1,000,000 /s", "$ a month", "of it GiB of memory"),
            *("Gbit/s", "MiB/s of access log"),
        ),
        rows=rows,
        remark=(
            f"CPU time of a worker over {count} requests on one connection: the JSON example of "
            f"each operation in the OpenAPI document, with the bundle mnist. Cores are planned at "
            f"{_UTILIZATION:.0%} utilization with one worker of {memory_mb:.0f} MB each. Prices "
            f"(flags of the command): ${prices.core_hour} for a core-hour, ${prices.gib_hour} for "
            f"a GiB-hour, ${prices.log_gib} for a GiB of logs; traffic to the Internet is extra. "
            "Joined runs of concurrent requests make large rates cheaper than the table."
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
