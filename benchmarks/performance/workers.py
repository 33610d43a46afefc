"""What a second worker brings."""

import os
import statistics
from collections.abc import Sequence

from records import Cell, Record

from performance.answers import classify
from performance.classify import CONNECTIONS, send_png
from performance.contenders import load, make_latentd
from performance.options import Options, find_cpus
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import alternate, find_ratio, find_spread

_MOST_WORKERS = 2


def to_row(workers: int, found: Sequence[float], alone: Sequence[float]) -> tuple[Cell, ...]:
    """Return the row of so many workers, beside one alone."""
    ratio = float(f"{find_ratio(found, alone):.3g}")
    return (workers, round(statistics.median(found)), ratio, find_spread(found, alone), "-", "-")


def measure(options: Options) -> Record:
    """Measure one worker on one CPU and two on two, in turn."""
    pixels = read_images(1)[0]
    request = send_png(to_png(pixels))
    cpus = find_cpus()
    spare = sorted(os.sched_getaffinity(0))[_MOST_WORKERS:]
    contenders = {
        number: make_latentd(request, "raw PNG", cpus[:number])
        for number in range(1, _MOST_WORKERS + 1)
    }
    contenders[1].check(classify(find_bundle(), pixels))

    def serve(number: int) -> float:
        sender = cpus[1] if number == 1 else spare[0] if spare else None
        with contenders[number].serve() as server:
            return load(server.port, request, options, CONNECTIONS, sender)

    figures = alternate(
        {str(number): lambda number=number: serve(number) for number in contenders},
        options.rounds,
    )
    rows = [to_row(number, figures[str(number)], figures["1"]) for number in contenders]
    place = "a CPU of its own" if spare else "the same two CPUs as the two workers"
    return write(options, rows, place, contenders[1].versions())


def write(options: Options, rows: list[tuple[Cell, ...]], place: str, versions: str) -> Record:
    """Return the record; `place` is where wrk ran."""
    return Record(
        name="workers",
        title="Two workers",
        command="make bench ARGS=workers",
        goal="none; it is told what two workers on two CPUs give of twice what one gives on one.",
        columns=("workers", "requests /s", "of one", "of one in each round", "goal", "met"),
        rows=rows,
        remark=(
            f"Raw PNG files, `wrk -t1 -c{CONNECTIONS}`, one thread a worker; wrk ran on {place}. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
