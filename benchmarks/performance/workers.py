"""Scaling efficiency with two worker processes."""

import os
import statistics
from collections.abc import Sequence

from benchmarks.harness.contenders import make_latentd, measure_rate
from benchmarks.harness.dataset import find_bundle, read_images, to_png
from benchmarks.harness.options import Options, find_cpus
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.response_checks import classify
from benchmarks.harness.rounds import alternate, find_ratio, find_spread
from benchmarks.performance.classify import CONNECTIONS, make_request

_MAX_WORKERS = 2


def to_row(workers: int, rates: Sequence[float], single: Sequence[float]) -> tuple[Cell, ...]:
    """Return the row of a number of workers; `single` has the rates of one worker."""
    ratio = float(f"{find_ratio(rates, single):.3g}")
    return (workers, round(statistics.median(rates)), ratio, find_spread(rates, single))


def measure(options: Options) -> Record:
    """Measure one worker on one CPU and two workers on two CPUs in alternating rounds."""
    pixels = read_images(1)[0]
    request = make_request(to_png(pixels))
    cpus = find_cpus()
    spare = sorted(os.sched_getaffinity(0))[_MAX_WORKERS:]
    contenders = {
        workers: make_latentd(request, "raw PNG", cpus[:workers])
        for workers in range(1, _MAX_WORKERS + 1)
    }
    contenders[1].check(classify(find_bundle(), pixels))

    def measure_workers(workers: int) -> float:
        cpu = cpus[1] if workers == 1 else spare[0] if spare else None
        with contenders[workers].serve() as server:
            return measure_rate(server.port, request, options, CONNECTIONS, cpu)

    rates = alternate(
        {str(workers): lambda workers=workers: measure_workers(workers) for workers in contenders},
        options.rounds,
    )
    rows = [to_row(workers, rates[str(workers)], rates["1"]) for workers in contenders]
    place = "a separate CPU" if spare else "the same two CPUs as the two workers"
    return make_record(options, rows, place, contenders[1].versions())


def make_record(
    options: Options, rows: list[tuple[Cell, ...]], place: str, versions: str
) -> Record:
    """Return the record; `place` names the CPUs of wrk."""
    return Record(
        name="workers",
        title="Scaling with two workers",
        command="make bench ARGS=workers",
        goal="none. The table shows the throughput of two workers on two CPUs relative to one "
        "worker on one CPU.",
        columns=("workers", "requests /s", "ratio to one worker", "ratios per round"),
        rows=rows,
        remark=(
            f"Raw PNG files, `wrk -t1 -c{CONNECTIONS}`, one thread per worker; wrk ran on {place}. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
