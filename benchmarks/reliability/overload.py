"""Measure goodput, rejections and latency at up to ten times the capacity.

The service is pinned to CPU 0, the load generator to the last CPU.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness.http_load import (
    OK,
    Client,
    Request,
    Response,
    percentile,
    sample_periodically,
    send_closed_loop,
    send_open_loop,
)
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd

_IMAGES = 128
HEAVY = Request("sample", "/v1/sample", json.dumps({"count": _IMAGES, "seed": 1}).encode())
PROBE = Request("livez", "/livez", method="GET")

_LOADS = (1, 2, 5, 10)
_PROBES_PER_SECOND = 20
_CLIENTS = 4
_MIN_GOODPUT = 0.8
_MAX_PROBE_MS = 50
_MAX_GROWTH_MB = 64
_REJECTIONS = {429, 503}
COLUMNS = (
    *("load", "requests", "goodput /s", "rejected", "lost"),
    *("rejection p50 ms", "rejection p99 ms", "success p50 ms", "success p99 ms"),
    *("/livez p99 ms", "RSS MB"),
)


@dataclass(frozen=True, slots=True)
class Level:
    """The responses at one load."""

    load: int
    """Multiple of the capacity."""
    responses: list[Response]
    probes: list[Response]
    rss: float
    """Maximum, in MB."""
    seconds: float

    def list_seconds(self, statuses: set[int]) -> list[float]:
        """Return the durations of the responses with these statuses."""
        return [one.seconds for one in self.responses if one.status in statuses]

    def count_statuses(self) -> dict[int, int]:
        """Return the number of responses by status; 0 means no response."""
        return dict(sorted(Counter(one.status for one in self.responses).items()))

    def to_row(self) -> list[Cell]:
        """Return the row of the load."""
        successes, rejections = self.list_seconds({OK}), self.list_seconds(_REJECTIONS)
        return [
            f"{self.load}x",
            len(self.responses),
            round(len(successes) / self.seconds, 1),
            f"{len(rejections) / len(self.responses):.0%}",
            len(self.responses) - len(successes) - len(rejections),
            *(round(1000 * percentile(rejections, share), 1) for share in (0.5, 0.99)),
            *(round(1000 * percentile(successes, share), 1) for share in (0.5, 0.99)),
            round(1000 * percentile([probe.seconds for probe in self.probes], 0.99), 1),
            round(self.rss),
        ]


async def measure(server: Server, load: int, rate: float, seconds: float) -> Level:
    """Send `rate` requests per second for `seconds`."""
    client, prober, stop = Client(server.port), Client(server.port), asyncio.Event()
    memory = asyncio.create_task(sample_periodically(lambda: server.rss, 0.25, stop))
    responses, probes = await asyncio.gather(
        send_open_loop(client, itertools.repeat(HEAVY), rate, seconds),
        send_open_loop(prober, itertools.repeat(PROBE), _PROBES_PER_SECOND, seconds),
    )
    stop.set()
    rss = max(value for _, value in await memory)
    client.close()
    prober.close()
    start, end = min(one.at - one.seconds for one in responses), max(one.at for one in responses)
    return Level(load, responses, probes, rss, max(seconds, end - start))


async def time_recovery(server: Server, unloaded: float) -> float:
    """Return the seconds until a response takes at most twice as long as without load."""
    client = Client(server.port)
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        response = await client.send(HEAVY)
        if response.status == OK and response.seconds <= 2 * unloaded:
            client.close()
            return response.at - start


async def measure_unloaded(server: Server) -> float:
    """Return the median duration of sequential requests, in seconds."""
    client = Client(server.port)
    responses = [await client.send(HEAVY) for _ in range(20)]
    client.close()
    return statistics.median(response.seconds for response in responses)


async def run(server: Server, seconds: float) -> tuple[float, list[Level], float]:
    """Return the capacity in requests per second, the levels, and the recovery in seconds."""
    client = Client(server.port)
    await send_closed_loop(client, HEAVY, _CLIENTS, 2)
    capacity = await send_closed_loop(client, HEAVY, _CLIENTS, seconds / 2)
    client.close()
    unloaded = await measure_unloaded(server)
    levels = []
    for load in _LOADS:
        levels.append(await measure(server, load, load * capacity, seconds))
        print(levels[-1].to_row(), levels[-1].count_statuses(), flush=True)
    return capacity, levels, await time_recovery(server, unloaded)


def list_bounds(rows: Sequence[Sequence[Cell]]) -> list[list[Bound]]:
    """Return the bounds of each row.

    Goodput has a bound at the highest load only. Memory is compared with that at twice the
    capacity, because the queue does not fill before.
    """
    bounds = [[Bound("lost", 0), Bound("/livez p99 ms", _MAX_PROBE_MS)] for _ in rows]
    peak = max(float(row[COLUMNS.index("goodput /s")]) for row in rows)
    bounds[-1] += [
        Bound("goodput /s", round(_MIN_GOODPUT * peak, 2), ">="),
        Bound("RSS MB", float(rows[1][COLUMNS.index("RSS MB")]) + _MAX_GROWTH_MB),
    ]
    return bounds


def make_record(
    rows: Sequence[Sequence[Cell]], seconds: float, capacity: float, recovery: float, remark: str
) -> Record:
    """Return the record."""
    goodputs = [float(row[COLUMNS.index("goodput /s")]) for row in rows]
    return Record(
        name="overload",
        title="Overload: up to ten times the capacity",
        command="python -m benchmarks.reliability.overload",
        goal=f"At ten times the capacity, goodput is at least {_MIN_GOODPUT:.0%} of its peak and "
        f"memory is at most {_MAX_GROWTH_MB} MB above that at twice the capacity; at every load no "
        f"request is lost and `/livez` p99 is at most {_MAX_PROBE_MS} ms.",
        columns=COLUMNS,
        rows=rows,
        bounds=list_bounds(rows),
        remark=(
            f"Open loop, {seconds:g} s per load, `POST /v1/sample` of {_IMAGES} images. The "
            f"capacity is the throughput of {_CLIENTS} clients in a closed loop, {capacity:.1f} "
            f"/s. At ten times the capacity goodput was {goodputs[-1] / max(goodputs):.0%} of its "
            f"peak; {recovery:.2f} s later a response took at most twice as long as without load. "
            f"Lost: no response, or a status other than 200, 429 and 503. Service on CPU 0, load "
            f"generator on the last CPU. {remark}"
        ).strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each load")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with run_latentd(["--log-level", "warning"], cpu=0) as server:
        capacity, levels, recovery = asyncio.run(run(server, parsed.seconds))
    rows = [level.to_row() for level in levels]
    return conclude(make_record(rows, parsed.seconds, capacity, recovery, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
