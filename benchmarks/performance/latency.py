"""Latency percentiles at half of the peak throughput."""

import statistics
from dataclasses import dataclass

from benchmarks.harness.contenders import Contender, measure_rate
from benchmarks.harness.http_load import percentile
from benchmarks.harness.options import Options, find_cpus, pinned
from benchmarks.harness.precise_load import TimedResponse, send_at_rate
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.rounds import Goal, judge
from benchmarks.performance.classify import CONNECTIONS, make_echo, make_plain, prepare

_GOAL = Goal(4, at_most=True)
_LOAD_SHARE = 0.5
_MAX_RATE = 2000
"""Rate that the load generator sustains, in requests per second; the echo exceeds it."""


@dataclass(frozen=True, slots=True)
class Round:
    """The result of one round."""

    peak: float
    """Throughput of a closed loop, in responses per second."""
    responses: list[TimedResponse]

    @property
    def tail(self) -> float:
        """Ratio p99 / p50 of the response times."""
        return self.find_ms(0.99) / self.find_ms(0.5)

    def find_ms(self, share: float) -> float:
        """Return a percentile of the response times, in milliseconds."""
        return 1000 * percentile([one.seconds for one in self.responses], share)

    def find_delay_ms(self, share: float) -> float:
        """Return a percentile of the send delays, in milliseconds."""
        return 1000 * percentile([one.send_delay for one in self.responses], share)

    def to_metrics(self) -> tuple[float, ...]:
        """Return the metrics of `COLUMNS`, from the peak to p99 / p50."""
        return (
            round(self.peak),
            round(min(_LOAD_SHARE * self.peak, _MAX_RATE)),
            *(round(self.find_ms(share), 2) for share in (0.5, 0.99, 0.999)),
            round(self.find_delay_ms(0.99), 3),
            round(self.tail, 2),
        )


COLUMNS = (
    *("server", "peak /s", "sent /s", "p50 ms", "p99 ms", "p99.9 ms", "send delay, p99 ms"),
    *("p99 / p50", "p99 / p50 per round", "goal", "met"),
)


def measure_round(contender: Contender, options: Options) -> Round:
    """Measure the peak, then latencies at half of it.

    Raises:
        RuntimeError: A request failed.
    """
    cpu = find_cpus()[1]
    with contender.serve() as server:
        request = contender.request
        peak = measure_rate(server.port, request, options, CONNECTIONS, cpu)
        rate = min(_LOAD_SHARE * peak, _MAX_RATE)
        with pinned(cpu):
            responses = send_at_rate(server.port, request, rate, options.seconds, CONNECTIONS)
    if not all(response.ok for response in responses):
        raise RuntimeError(f"{contender.name}: A request failed.")
    result = Round(peak, responses)
    print(f"  {contender.name} {result.to_metrics()}", flush=True)
    return result


def summarise(name: str, rounds: list[Round]) -> tuple[Cell, ...]:
    """Return a server's row: medians over its rounds. Only latentd has a goal."""
    columns = zip(*(one.to_metrics() for one in rounds), strict=True)
    tails = [one.tail for one in rounds]
    return (
        name,
        *(round(statistics.median(column), 3) for column in columns),
        f"{min(tails):.3g} to {max(tails):.3g}",
        *judge(_GOAL if name == "latentd" else None, statistics.median(tails)),
    )


def measure(options: Options) -> Record:
    """Measure latentd, the plain FastAPI app and the echo in alternating rounds."""
    setup = prepare(options)
    plain = make_plain(setup)
    contenders = [setup.latentd, plain, make_echo(setup)]
    rounds: dict[str, list[Round]] = {one.name: [] for one in contenders}
    for _ in range(options.rounds):
        for one in contenders:
            rounds[one.name].append(measure_round(one, options))
    rows = [summarise(name, results) for name, results in rounds.items()]
    return make_record(options, rows, f"{setup.latentd.versions()}; {plain.versions()}")


def make_record(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="latency",
        title="Latency at half of the peak throughput",
        command="make bench ARGS=latency",
        goal="At half of the peak throughput, p99 is at most four times p50.",
        columns=COLUMNS,
        rows=rows,
        remark=(
            "Raw PNG files, one worker with one thread. The peak is the throughput of `wrk -t1 "
            f"-c{CONNECTIONS}` immediately before. Then an open loop on another CPU sends at half "
            f"of it, at most {_MAX_RATE} /s, over {CONNECTIONS} connections. Times start when a "
            "request is due and therefore include the send delay. The other two servers show the "
            f"latency that the machine itself adds. {options.describe_rounds()} {versions}. "
            f"{options.remark}"
        ).strip(),
    )
