"""Simulate replicas behind a balancer, compare with two workers, and use it for many replicas.

    python -m benchmarks.simulate

Each replica serves one request at a time in order of arrival, and rejects requests above its queue
limit, as one worker with one inference thread does. Arrivals are a Poisson process; service times
are drawn from measured ones. With one server per queue the end of a request follows from its
arrival, so that events are arrivals and repetitions only, and 1,000 replicas take seconds.
"""

import argparse
import heapq
import random
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.harness.http_load import Request
from benchmarks.harness.precise_load import send_at_rate
from benchmarks.harness.records import Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd
from benchmarks.scale import SCALE

REQUEST = Request("sample", "/v1/sample?model=mnist", b'{"count": 48, "encoding": "array"}')
_RETRY_SECONDS = 0.2
_NOTICE_SECONDS = 4.0
"""From the end of a replica until the balancer stops choosing it: two probes of two seconds."""
_ZONES = 3
_MAX_REQUESTS = 400_000


@dataclass(slots=True)
class Replica:
    """One server with a queue."""

    limit: int
    ends: deque[float] = field(default_factory=deque)
    """When each pending request ends."""
    is_dead: bool = False

    def count_pending(self, now: float) -> int:
        """Return the number of requests that have not ended."""
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        return len(self.ends)

    def accept(self, now: float, seconds: float) -> float | None:
        """Return when a request ends; None if it is rejected or lost."""
        if self.is_dead or self.count_pending(now) >= self.limit:
            return None
        end = max(now, self.ends[-1] if self.ends else now) + seconds
        self.ends.append(end)
        return end


@dataclass(slots=True)
class Result:
    """The outcome of a simulation."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    """Rejected or lost, also at their repetition."""
    repeated: int = 0

    def to_cells(self) -> list[Cell]:
        """Return p50 and p99 in ms, and the repeated and failed parts in percent."""
        total = len(self.latencies) + self.failed or float("nan")
        return [
            *(round(1000 * find_quantile(self.latencies, part), 1) for part in (0.5, 0.99)),
            round(100 * self.repeated / total, 3),
            round(100 * self.failed / total, 3),
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulated system."""

    replicas: int
    load: float
    """Arrivals as a part of what all replicas can serve."""
    service_seconds: Sequence[float]
    """Measured service times, from which one is drawn for each request."""
    seconds: float = 30.0
    limit: int = 64
    choices: int = 1
    """The balancer draws this number of replicas and chooses the one with the shortest queue."""
    retries: int = 1
    draining: float = 0.0
    """Part of the replicas that a deployment has removed from the balancer."""
    lost_zone: bool = False
    """Whether a third of the replicas ends after a third of the time."""


def simulate(plan: Plan, rng: random.Random) -> Result:
    """Return the outcome of a plan."""
    mean = sum(plan.service_seconds) / len(plan.service_seconds)
    rate = plan.load * plan.replicas / mean
    seconds = min(plan.seconds, _MAX_REQUESTS / rate)
    replicas = [Replica(plan.limit) for _ in range(plan.replicas)]
    chosen = replicas[: max(1, round(plan.replicas * (1 - plan.draining)))]
    dies_at = seconds / 3 if plan.lost_zone else float("inf")
    noticed_at = dies_at + _NOTICE_SECONDS
    result = Result()
    # Time, arrival and earlier attempts of each request that is due.
    due: list[tuple[float, float, int]] = [(rng.expovariate(rate), 0.0, -1)]
    while due:
        now, arrival, attempts = heapq.heappop(due)
        if attempts < 0:  # a new request, which schedules the next one
            arrival, attempts = now, 0
            following = now + rng.expovariate(rate)
            if following < seconds:
                heapq.heappush(due, (following, 0.0, -1))
        if now >= dies_at:
            dies_at = float("inf")
            for replica in replicas[: plan.replicas // _ZONES]:
                replica.is_dead = True
        if now >= noticed_at:
            noticed_at = float("inf")
            chosen = [replica for replica in chosen if not replica.is_dead]
        replica = choose(chosen, plan.choices, now, rng)
        end = replica.accept(now, rng.choice(plan.service_seconds))
        if end is not None:
            result.latencies.append(end - arrival)
        elif attempts < plan.retries:
            result.repeated += 1
            heapq.heappush(due, (now + _RETRY_SECONDS, arrival, attempts + 1))
        else:
            result.failed += 1
    return result


def choose(replicas: Sequence[Replica], choices: int, now: float, rng: random.Random) -> Replica:
    """Return a replica that the balancer chooses."""
    if choices == 1:
        return rng.choice(replicas)
    drawn = [rng.choice(replicas) for _ in range(choices)]
    return min(drawn, key=lambda replica: replica.count_pending(now))


def find_quantile(values: Sequence[float], part: float) -> float:
    """Return a quantile of values; NaN without values."""
    return sorted(values)[int(part * (len(values) - 1))] if values else float("nan")


def measure_service_times(server: Server, count: int) -> list[float]:
    """Return the durations of requests that follow one another on one connection."""
    send_at_rate(server.port, REQUEST, 8, 2, 1)  # warms up
    done = send_at_rate(server.port, REQUEST, 8, count / 8, 1)
    return [response.seconds - response.send_delay for response in done]


def compare(seed: int, seconds: float) -> tuple[list[list[Cell]], list[float]]:
    """Return rows that compare two workers with the simulation, and the service times."""
    rows: list[list[Cell]] = []
    with run_latentd(["--workers=2", "--threads=1", "--default-model=mnist"]) as server:
        times = measure_service_times(server, 160)
        mean = sum(times) / len(times)
        for load in (0.1, 0.3, 0.5):
            rate = load * 2 / mean
            measured = measure(server, rate, seconds)
            plan = Plan(2, load, times, seconds, retries=0)
            simulated = simulate(plan, random.Random(seed))  # noqa: S311 - a simulation
            rows += [
                [f"two workers, load {load:.0%}: measured", 2, *measured.to_cells()],
                [f"two workers, load {load:.0%}: simulated", 2, *simulated.to_cells()],
            ]
            print(*rows[-2:], sep="\n", flush=True)
    return rows, times


def measure(server: Server, rate: float, seconds: float) -> Result:
    """Return the measured outcome; an empty one if responses are missing ten seconds later."""
    try:
        responses = send_at_rate(server.port, REQUEST, rate, seconds, 32)
    except (RuntimeError, OSError):  # other work has the CPUs
        return Result()
    done = [response.seconds for response in responses if response.ok]
    return Result(done, len(responses) - len(done))


def list_plans(replicas: int, times: Sequence[float]) -> dict[str, Plan]:
    """Return the plans for a number of replicas."""
    base = Plan(replicas, 0.6, times)
    return {
        "load 60%, random choice": base,
        "load 60%, shorter of two queues": Plan(replicas, 0.6, times, choices=2),
        "load 90%, random choice": Plan(replicas, 0.9, times),
        "load 90%, shorter of two queues": Plan(replicas, 0.9, times, choices=2),
        "load 90%, shorter of two, queue of 8": Plan(replicas, 0.9, times, limit=8, choices=2),
        "load 60%, a deployment drains 25%": Plan(replicas, 0.6, times, choices=2, draining=0.25),
        "load 60%, a zone is lost": Plan(replicas, 0.6, times, choices=2, lost_zone=True),
        "load 90%, a zone is lost": Plan(replicas, 0.9, times, choices=2, lost_zone=True),
    }


def main() -> int:
    """Compare, simulate 10 to 1,000 replicas, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measured load")
    parser.add_argument("--remark", default="", help="other load on the machine")
    flags = parser.parse_args()
    rows, times = compare(flags.seed, flags.seconds)
    for replicas in (10, 100, 1_000):
        for name, plan in list_plans(replicas, times).items():
            result = simulate(plan, random.Random(flags.seed))  # noqa: S311 - a simulation
            rows.append([name, replicas, *result.to_cells()])
            print(rows[-1], flush=True)
    return conclude(make_record(rows, times, flags.seed, flags.remark), SCALE)


def make_record(rows: list[list[Cell]], times: Sequence[float], seed: int, remark: str) -> Record:
    """Return the record."""
    mean_ms = 1000 * sum(times) / len(times)
    return Record(
        name="simulation",
        title="A simulation of 10 to 1,000 replicas, compared with two workers",
        command="python -m benchmarks.simulate",
        goal="none. The first rows show the error of the simulation.",
        columns=("case", "replicas", "p50 ms", "p99 ms", "repeated %", "failed %"),
        rows=rows,
        seed=seed,
        remark=(
            f"48 samples as arrays, {mean_ms:.1f} ms of service on an idle worker (mean of "
            f"{len(times)}), at Poisson arrivals in the simulation and a steady rate in the "
            "measurement. A queue holds 64 requests. A failed request is repeated once after "
            f"{_RETRY_SECONDS:g} s. A lost zone is a third of the replicas, which the balancer "
            f"chooses for {_NOTICE_SECONDS:g} more seconds. At most {_MAX_REQUESTS:,} requests are "
            "simulated, which shortens the time at 1,000 replicas. The simulation has no joined "
            f"runs and no shared CPUs. A dash means that responses were missing after ten seconds. "
            f"{remark}"
        ).strip(),
    )


if __name__ == "__main__":
    sys.exit(main())
