"""Send a real service up to ten times what it can do, and see what it does.

The service is pinned to CPU 0, the sender to CPU 1; bounded in time, on the loopback.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
from dataclasses import dataclass

from endings import conclude
from loads import (
    Answer,
    Request,
    Sender,
    percentile,
    sample_often,
    send_closed_loop,
    send_open_loop,
)
from records import Record
from servers import Server, run_latentd

_IMAGES = 128
HEAVY = Request("sample", "/v1/sample", json.dumps({"count": _IMAGES, "seed": 1}).encode())
PROBE = Request("livez", "/livez", method="GET")

_LOADS = (1, 2, 5, 10)
_PROBES_A_SECOND = 20
_CLIENTS = 4
_LEAST_GOODPUT = 0.8
_MOST_PROBE_MS = 50
_GROWTH_MB = 64
_TOO_MANY = 429
_REFUSED = {_TOO_MANY, 503}
_OK = 200


@dataclass(frozen=True, slots=True)
class Level:
    """What happened at one load."""

    load: int
    answers: list[Answer]
    probes: list[Answer]
    rss: float
    """MB, the most."""
    seconds: float

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds

    @property
    def good(self) -> list[float]:
        """Seconds until each good answer."""
        return [answer.seconds for answer in self.answers if answer.status == _OK]

    @property
    def refused(self) -> list[float]:
        """Seconds until each refusal."""
        return [answer.seconds for answer in self.answers if answer.status in _REFUSED]

    @property
    def lost(self) -> int:
        """Requests with any other answer, or none."""
        return len(self.answers) - len(self.good) - len(self.refused)

    @property
    def others(self) -> dict[int, int]:
        """How many answers had each other status."""
        rest = [a.status for a in self.answers if a.status not in {_OK, *_REFUSED}]
        return {status: rest.count(status) for status in sorted(set(rest))}

    def to_row(self) -> list[str | int | float]:
        """Return the table's row."""
        return [
            f"{self.load}x",
            len(self.answers),
            round(self.goodput, 1),
            f"{len(self.refused) / len(self.answers):.0%}",
            self.lost,
            *(round(1000 * percentile(self.refused, share), 1) for share in (0.5, 0.99)),
            *(round(1000 * percentile(self.good, share)) for share in (0.5, 0.99)),
            round(1000 * percentile([probe.seconds for probe in self.probes], 0.99), 1),
            round(self.rss),
        ]


COLUMNS = (
    *("load", "requests", "good /s", "refused", "lost"),
    *("refused p50 ms", "refused p99 ms", "good p50 ms", "good p99 ms"),
    *("/livez p99 ms", "RSS MB"),
)


async def measure(server: Server, load: int, rate: float, seconds: float) -> Level:
    """Load a server for so many seconds; rate in requests a second."""
    sender, prober, stop = Sender(server.port), Sender(server.port), asyncio.Event()
    memory = asyncio.create_task(sample_often(lambda: server.rss, 0.25, stop))
    answers, probes = await asyncio.gather(
        send_open_loop(sender, itertools.repeat(HEAVY), rate, seconds),
        send_open_loop(prober, itertools.repeat(PROBE), _PROBES_A_SECOND, seconds),
    )
    stop.set()
    rss = max(value for _, value in await memory)
    await sender.close()
    await prober.close()
    span = max(
        seconds, max(answer.at for answer in answers) - min(a.at - a.seconds for a in answers)
    )
    return Level(load, answers, probes, rss, span)


async def time_recovery(server: Server, quiet: float) -> float:
    """Return the seconds until an answer takes at most twice as long as in quiet times."""
    sender = Sender(server.port)
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        answer = await sender.send(HEAVY, HEAVY.pack(), sent := loop.time())
        if answer.status == _OK and answer.at - sent <= 2 * quiet:
            await sender.close()
            return answer.at - start


async def measure_quiet(server: Server) -> float:
    """Return the median seconds of one request after the other."""
    sender = Sender(server.port)
    answers = [
        await sender.send(HEAVY, HEAVY.pack(), asyncio.get_running_loop().time()) for _ in range(20)
    ]
    await sender.close()
    return statistics.median(answer.seconds for answer in answers)


async def run(server: Server, seconds: float) -> tuple[float, list[Level], float]:
    """Return the capacity in requests a second, what happened, and the seconds to recover."""
    sender = Sender(server.port)
    await send_closed_loop(sender, HEAVY, _CLIENTS, 2)
    capacity = await send_closed_loop(sender, HEAVY, _CLIENTS, seconds / 2)
    await sender.close()
    quiet = await measure_quiet(server)
    levels = []
    for load in _LOADS:
        levels.append(await measure(server, load, load * capacity, seconds))
        print(dict(zip(COLUMNS, levels[-1].to_row(), strict=True)), levels[-1].others)
    return capacity, levels, await time_recovery(server, quiet)


def judge(levels: list[Level]) -> list[str]:
    """Return what does not hold."""
    peak = max(level.goodput for level in levels)
    last = levels[-1]
    probe = max(percentile([p.seconds for p in level.probes], 0.99) for level in levels)
    findings = {
        "goodput fell": last.goodput < _LEAST_GOODPUT * peak,
        "requests were lost": any(level.lost for level in levels),
        "/livez was slow": 1000 * probe > _MOST_PROBE_MS,
        "memory rose": last.rss - levels[1].rss > _GROWTH_MB,  # at 1x no queue fills
    }
    return [text for text, is_so in findings.items() if is_so]


def main() -> int:
    """Run, write the record, and return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="at each load")
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    given = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with run_latentd(["--log-level", "warning"], cpu=0) as server:
        capacity, levels, recovery = asyncio.run(run(server, given.seconds))
    findings = judge(levels)
    kept = levels[-1].goodput / max(level.goodput for level in levels)
    remark = (
        f"Each load for {given.seconds:g} s, open loop, `POST /v1/sample` of {_IMAGES} images; the "
        f"load is in multiples of what {_CLIENTS} waiting clients got before, {capacity:.1f} /s. "
        f"At 10x goodput was {kept:.0%} of its peak; {recovery:.2f} s after it an answer was as "
        f"quick as ever. Service on CPU 0, sender on CPU 1. {given.remark}"
    )
    record = Record(
        name="overload",
        title="Overload: up to ten times the capacity",
        command="python benchmarks/overload.py",
        goal="at ten times the capacity goodput is at least 80 % of its peak; nothing is lost; "
        f"`/livez` p99 is under {_MOST_PROBE_MS} ms; memory is flat (within {_GROWTH_MB} MB).",
        columns=COLUMNS,
        rows=[level.to_row() for level in levels],
        remark=remark.strip(),
    )
    return conclude(record, findings)


if __name__ == "__main__":
    raise SystemExit(main())
