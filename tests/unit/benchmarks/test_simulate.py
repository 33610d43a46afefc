"""The simulation of replicas agrees with queueing theory, and costs with arithmetic."""

import random

import pytest

from benchmarks.scale.costs import Cost, Prices
from benchmarks.simulate import Plan, Replica, simulate

CONSTANT = [0.01]


def make_exponential(mean: float) -> list[float]:
    """Return service times of an exponential distribution."""
    rng = random.Random(7)  # noqa: S311 - a simulation
    return [rng.expovariate(1 / mean) for _ in range(20_000)]


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_one_replica_is_a_known_queue(load: float) -> None:
    """With exponential service times the mean time in an M/M/1 queue is s / (1 - load)."""
    plan = Plan(1, load, make_exponential(0.01), seconds=2000, limit=10_000)
    result = simulate(plan, random.Random(1))  # noqa: S311 - a simulation
    mean = sum(result.latencies) / len(result.latencies)
    assert mean == pytest.approx(0.01 / (1 - load), rel=0.06)


def test_a_full_queue_rejects() -> None:
    """A replica holds `limit` requests, and accepts another when one has ended."""
    replica = Replica(limit=2)
    assert [replica.accept(0, 1), replica.accept(0, 1), replica.accept(0, 1)] == [1, 2, None]
    assert replica.accept(1, 1) == 3


def test_the_shorter_queue_lowers_the_tail() -> None:
    """Of two replicas the one with the shorter queue is better than a random one."""
    p99 = [
        simulate(Plan(20, 0.8, CONSTANT, choices=choices), random.Random(1)).to_cells()[1]  # noqa: S311
        for choices in (1, 2)
    ]
    assert p99[1] < p99[0] / 2  # type: ignore[operator]


def test_overload_fails_and_spare_capacity_does_not() -> None:
    """At 120 % of the capacity about a sixth fails; at 50 % nothing does."""
    over, under = (
        simulate(Plan(10, load, CONSTANT, retries=0), random.Random(1))  # noqa: S311 - a simulation
        for load in (1.2, 0.5)
    )
    assert over.failed / (over.failed + len(over.latencies)) == pytest.approx(1 / 6, abs=0.03)
    assert under.failed == 0


def test_a_lost_zone_fails_requests_until_it_is_noticed() -> None:
    """Without repetition a third fails for the seconds until the balancer notices."""
    plan = Plan(30, 0.4, CONSTANT, seconds=40, choices=1, retries=0, lost_zone=True)
    result = simulate(plan, random.Random(1))  # noqa: S311 - a simulation
    assert result.failed / (30 * 0.4 / 0.01) == pytest.approx(4 / 3, rel=0.1)


def test_costs_are_arithmetic() -> None:
    """1,000 requests per second of 3 ms at 60 % are 5 cores."""
    prices = Prices(core_hour=0.04, gib_hour=0.0, log_gib=0.0)
    row = Cost("encode", 0.003, 100, 900, 300).to_row(128, prices)
    assert row[:4] == ["encode", 3.0, 100, 900]
    assert row[6:9] == [5, "150", 5000]
    assert row[-2:] == [8, 290]
