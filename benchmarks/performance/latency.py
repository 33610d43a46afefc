"""How long answers take at half of the highest rate."""

import statistics
from dataclasses import dataclass

from loads import percentile
from records import Cell, Record

from performance.answers import classify
from performance.classify import CONNECTIONS, send_png
from performance.contenders import Contender, load, make_latentd
from performance.options import Options, find_cpus, pinned
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import Goal
from performance.steady import Sent, send_steadily

_GOAL = Goal(4, at_most=True)
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw."""

    peak: float
    """Answers a second that waiting clients got."""
    sent: list[Sent]

    @property
    def tail(self) -> float:
        """p99 / p50 of the answers' times."""
        return self.find_ms(0.99) / self.find_ms(0.5)

    def find_ms(self, share: float) -> float:
        """Return the milliseconds in which so large a share was answered."""
        return 1000 * percentile([one.seconds for one in self.sent], share)

    def find_late_ms(self, share: float) -> float:
        """Return the milliseconds within which so large a share was sent."""
        return 1000 * percentile([one.late for one in self.sent], share)

    def to_row(self, number: int) -> tuple[Cell, ...]:
        """Return the table's row."""
        return (
            str(number),
            round(self.peak),
            round(_SHARE * self.peak),
            *(round(self.find_ms(share), 2) for share in (0.5, 0.99, 0.999)),
            round(self.find_late_ms(0.99), 3),
            round(self.tail, 2),
            *_GOAL.to_cells(self.tail),
        )


COLUMNS = (
    *("round", "peak /s", "sent /s", "p50 ms", "p99 ms", "p99.9 ms", "sent late by, p99 ms"),
    *("p99 / p50", "goal", "met"),
)


def measure_round(latentd: Contender, options: Options) -> Round:
    """Find the peak, then send half of it.

    Raises:
        RuntimeError: an answer was not good.
    """
    sender = find_cpus()[1]
    with latentd.serve() as server:
        peak = load(server.port, latentd.request, options, CONNECTIONS, sender)
        with pinned(sender):
            sent = send_steadily(
                *(server.port, latentd.request, _SHARE * peak, options.seconds, CONNECTIONS)
            )
    if not all(one.good for one in sent):
        raise RuntimeError("latency: an answer was not good")
    print(f"  {Round(peak, sent).to_row(0)}", flush=True)
    return Round(peak, sent)


def summarise(rounds: list[Round]) -> tuple[Cell, ...]:
    """Return the row of the medians over the rounds; the goal is judged by it."""
    columns = zip(*(one.to_row(0)[1:-2] for one in rounds), strict=True)
    tail = statistics.median(one.tail for one in rounds)
    return (
        "median",
        *(round(statistics.median(column), 3) for column in columns),
        *_GOAL.to_cells(tail),
    )


def measure(options: Options) -> Record:
    """Measure latentd round by round."""
    pixels = read_images(1)[0]
    latentd = make_latentd(send_png(to_png(pixels)), "raw PNG")
    latentd.check(classify(find_bundle(), pixels))
    rounds = [measure_round(latentd, options) for _ in range(options.rounds)]
    return Record(
        name="latency",
        title="Latency at half of the peak",
        command="make bench ARGS=latency",
        goal="at half of the highest rate p99 is at most four times p50.",
        columns=COLUMNS,
        rows=[*(one.to_row(number) for number, one in enumerate(rounds, 1)), summarise(rounds)],
        remark=(
            f"Raw PNG files, one worker with one thread. The peak is what `wrk -t1 "
            f"-c{CONNECTIONS}` got just before. Then an open loop at a fixed rate over "
            f"{CONNECTIONS} connections, from another CPU; times are from when a request was due, "
            "so what the sender was late by is part of them. "
            f"{options.describe_rounds()} {latentd.versions()}. {options.remark}"
        ).strip(),
    )
