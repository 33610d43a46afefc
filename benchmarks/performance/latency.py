"""How long answers take at half of the highest rate, and what the machine adds by itself."""

import statistics
from dataclasses import dataclass

from loads import Request, percentile
from records import Cell, Record

from performance.answers import classify
from performance.classify import CONNECTIONS, make_bare, make_fastapi, send_png
from performance.contenders import Contender, load, make_latentd
from performance.options import Options, find_cpus, pinned
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import Goal
from performance.steady import Sent, send_steadily

_GOAL = Goal(4, at_most=True)
_SHARE = 0.5
_MOST_A_SECOND = 2000
"""What the sender surely keeps up with; the bare callable could take more."""


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

    def to_figures(self) -> tuple[float, ...]:
        """Return the figures of `COLUMNS`, from the peak on."""
        return (
            round(self.peak),
            round(min(_SHARE * self.peak, _MOST_A_SECOND)),
            *(round(self.find_ms(share), 2) for share in (0.5, 0.99, 0.999)),
            round(self.find_late_ms(0.99), 3),
            round(self.tail, 2),
        )


COLUMNS = (
    *("server", "peak /s", "sent /s", "p50 ms", "p99 ms", "p99.9 ms", "sent late by, p99 ms"),
    *("p99 / p50", "p99 / p50 of the rounds", "goal", "met"),
)


def measure_round(one: Contender, options: Options) -> Round:
    """Find the peak, then send half of it.

    Raises:
        RuntimeError: an answer was not good.
    """
    sender = find_cpus()[1]
    with one.serve() as server:
        peak = load(server.port, one.request, options, CONNECTIONS, sender)
        rate = min(_SHARE * peak, _MOST_A_SECOND)
        with pinned(sender):
            sent = send_steadily(server.port, one.request, rate, options.seconds, CONNECTIONS)
    if not all(answer.good for answer in sent):
        raise RuntimeError(f"latency: an answer of {one.name} was not good")
    print(f"  {one.name} {Round(peak, sent).to_figures()}", flush=True)
    return Round(peak, sent)


def summarise(name: str, rounds: list[Round]) -> tuple[Cell, ...]:
    """Return a server's row: medians over its rounds. The goal is latentd's."""
    columns = zip(*(one.to_figures() for one in rounds), strict=True)
    tails = [one.tail for one in rounds]
    goal = _GOAL.to_cells(statistics.median(tails)) if name == "latentd" else ("-", "-")
    return (
        name,
        *(round(statistics.median(column), 3) for column in columns),
        f"{min(tails):.3g} to {max(tails):.3g}",
        *goal,
    )


def measure(options: Options) -> Record:
    """Measure latentd and two others round by round."""
    bundle, pixels = find_bundle(), read_images(1)[0]
    png, truth = to_png(pixels), classify(find_bundle(), pixels)
    latentd = make_latentd(send_png(png), "raw PNG")
    plain = make_fastapi(options, bundle, Request("raw PNG", "/classify", png, "image/png"))
    servers = [latentd, plain, make_bare(options, bundle, png, latentd.check(truth))]
    rounds: dict[str, list[Round]] = {one.name: [] for one in servers}
    for _ in range(options.rounds):
        for one in servers:
            rounds[one.name].append(measure_round(one, options))
    return Record(
        name="latency",
        title="Latency at half of the peak",
        command="make bench ARGS=latency",
        goal="at half of the highest rate p99 is at most four times p50.",
        columns=COLUMNS,
        rows=[summarise(name, seen) for name, seen in rounds.items()],
        remark=(
            f"Raw PNG files, one worker with one thread. The peak is what `wrk -t1 "
            f"-c{CONNECTIONS}` got just before. Then an open loop at a fixed rate, at most "
            f"{_MOST_A_SECOND}/s, over {CONNECTIONS} connections, from another CPU; times are from "
            "when a request was due, so what the sender was late by is part of them. The others "
            "tell what the machine itself adds. "
            f"{options.describe_rounds()} {latentd.versions()}; {plain.versions()}. "
            f"{options.remark}"
        ).strip(),
    )
