"""Soak test: half of the capacity for ten minutes, with verified responses and stable memory.

The load mixes all operations, photographs and long arrays; one request in twenty is invalid. Other
clients crash, stall, cancel their requests, or do not read the responses. The service has 512 MB.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.harness.http_load import (
    OK,
    Client,
    Request,
    Response,
    percentile,
    sample_periodically,
    send_open_loop,
)
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd
from benchmarks.reliability.bad_clients import misbehave
from benchmarks.reliability.soak_requests import INVALID, make_valid, mix

_WINDOW = 60.0
_CLIENTS = 4
_CAPACITY_SECONDS = 20.0
_MEMORY_MB = 512
_BAD_CLIENTS = 2.0
"""Bad clients per second."""
_MAX_GROWTH = 60.0
"""MB per hour, which is 1 MB per minute; the noise of ten minutes hides less."""
_SEED = 1
COLUMNS = (
    *("minute", "requests", "invalid", "failed", "wrong responses", "p50 ms", "p99 ms"),
    *("RSS MB", "peak RSS MB", "threads", "RSS growth MB/h", "descriptors left"),
)


@dataclass(slots=True)
class Minute:
    """The responses of one minute."""

    responses: list[Response]
    expected: dict[str, bytes]
    """Correct body by the name of a valid request."""
    rss: list[tuple[float, float]]
    threads: int
    invalid: int = field(init=False)
    failed: int = field(init=False)
    wrong: int = field(init=False)
    seconds: list[float] = field(init=False)
    statuses: dict[int, int] = field(init=False)
    """Number of responses by status."""

    def __post_init__(self) -> None:
        """Evaluate the responses and drop their bodies."""
        valid = [one for one in self.responses if one.request not in INVALID]
        invalid = [one for one in self.responses if one.request in INVALID]
        self.invalid = len(invalid)
        self.failed = sum(one.status != OK for one in valid)
        self.failed += sum(one.status != INVALID[one.request] for one in invalid)
        self.wrong = sum(
            one.status == OK and one.body != self.expected[one.request.name] for one in valid
        )
        self.seconds = [one.seconds for one in valid]
        self.statuses = dict(Counter(one.status for one in self.responses))
        self.responses = []

    def to_row(self, number: int) -> list[Cell]:
        """Return the row of the minute."""
        return [
            number,
            len(self.seconds) + self.invalid,
            self.invalid,
            self.failed,
            self.wrong,
            *(round(1000 * percentile(self.seconds, share), 1) for share in (0.5, 0.99)),
            round(statistics.fmean(value for _, value in self.rss), 1),
            round(max(value for _, value in self.rss), 1),
            self.threads,
            *("-", "-"),
        ]


async def find_bodies(client: Client, valid: Sequence[Request]) -> dict[str, bytes]:
    """Return the response body of each valid request by its name.

    Raises:
        RuntimeError: A request failed.
    """
    bodies = {}
    for request in valid:
        response = await client.send(request)
        if response.status != OK:
            raise RuntimeError(
                f"{request.name}: Expected status {OK}, got {response.status}: "
                f"{response.body[:200]!r}"
            )
        bodies[request.name] = response.body
    return bodies


async def find_capacity(client: Client, valid: Sequence[Request]) -> float:
    """Return the throughput of valid requests in a closed loop, in requests per second."""
    end = time.monotonic() + _CAPACITY_SECONDS
    packed = [request.pack() for request in valid]

    async def repeat() -> int:
        for number in itertools.count():
            if time.monotonic() > end:
                return number
            index = number % len(valid)
            await client.send(valid[index], packed=packed[index])
        raise AssertionError

    return sum(await asyncio.gather(*(repeat() for _ in range(_CLIENTS)))) / _CAPACITY_SECONDS


async def run(server: Server, seconds: float) -> tuple[float, list[Minute], int]:
    """Return the rate, the minutes, and the number of descriptors left open."""
    rng = random.Random(_SEED)  # noqa: S311 - order of the requests
    client = Client(server.port)
    valid = await make_valid(client)
    expected = await find_bodies(client, valid)
    rate = await find_capacity(client, valid) / 2
    client.close()
    await asyncio.sleep(1)
    descriptors = server.descriptors
    requests = mix(valid, rng)
    minutes: list[Minute] = []
    is_over = asyncio.Event()
    bad = asyncio.create_task(misbehave(server.port, valid, _BAD_CLIENTS, rng, is_over))
    for _ in range(max(1, round(seconds / _WINDOW))):
        stop = asyncio.Event()
        memory = asyncio.create_task(sample_periodically(lambda: server.rss, 0.1, stop))
        responses = await send_open_loop(client, requests, rate, min(seconds, _WINDOW))
        stop.set()
        minutes.append(Minute(responses, expected, await memory, server.threads))
        print(minutes[-1].to_row(len(minutes)), minutes[-1].statuses, flush=True)
    is_over.set()
    print(dict(await bad))
    client.close()
    await asyncio.sleep(1)
    return rate, minutes, server.descriptors - descriptors


def find_growth(minutes: Sequence[Minute]) -> float:
    """Return the growth of memory after the first minute in MB per hour; 0 for one minute."""
    points = [point for minute in minutes[1:] for point in minute.rss]
    if not points:
        return 0.0
    times, values = zip(*points, strict=True)
    return 3600 * statistics.linear_regression(times, values).slope


def add_total(rows: Sequence[Sequence[Cell]], growth: float, left: int) -> list[Sequence[Cell]]:
    """Return the rows of the minutes and a row of all of them."""
    sums = [sum(int(row[column]) for row in rows) for column in range(1, 5)]
    peak = max(float(row[COLUMNS.index("peak RSS MB")]) for row in rows)
    threads = COLUMNS.index("threads")
    return [
        *rows,
        ["all", *sums, "-", "-", "-", peak, rows[-1][threads], round(growth, 1), left],
    ]


def list_bounds(rows: Sequence[Sequence[Cell]]) -> list[list[Bound]]:
    """Return the bounds of each row; at the end there are as many threads as at the start."""
    bounds = [[Bound("failed", 0), Bound("wrong responses", 0)] for _ in rows]
    bounds[-1] += [
        Bound("threads", rows[0][COLUMNS.index("threads")]),
        Bound("peak RSS MB", _MEMORY_MB),
        Bound("RSS growth MB/h", _MAX_GROWTH),
        Bound("descriptors left", 0),
    ]
    return bounds


def make_record(rows: Sequence[Sequence[Cell]], rate: float, remark: str) -> Record:
    """Return the record of rows that end with the total."""
    return Record(
        name="soak",
        title="Soak test: half of the capacity",
        seed=_SEED,
        command="make soak",
        goal=f"No request fails and no response is wrong; memory stays under {_MEMORY_MB} MB and "
        f"grows by at most {_MAX_GROWTH:g} MB/h after the first minute; no descriptor stays open "
        "and no thread is added.",
        columns=COLUMNS,
        rows=rows,
        bounds=list_bounds(rows),
        remark=(
            f"Open loop with {rate:.1f} requests/s, half of the throughput of {_CLIENTS} clients "
            "in a closed loop. Responses to valid requests are compared byte by byte with stored "
            "ones; invalid requests must be rejected with their expected status. "
            f"{_BAD_CLIENTS:g} clients per second crash, stall, cancel their requests, or do not "
            f"read the responses. Service on CPU 0, load generator on the last CPU. {remark}"
        ).strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="duration; whole minutes")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    flags = ["--log-level", "warning", "--memory-bytes", str(_MEMORY_MB * 1024 * 1024)]
    with run_latentd(flags, cpu=0) as server:
        rate, minutes, left = asyncio.run(run(server, parsed.seconds))
    rows = [minute.to_row(number) for number, minute in enumerate(minutes, 1)]
    return conclude(make_record(add_total(rows, find_growth(minutes), left), rate, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
