"""Write docs/reliability.md, docs/performance.md or docs/scale.md from the stored records."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.records import (
    ANOMALY,
    PERFORMANCE,
    RELIABILITY,
    SCALE,
    Cell,
    Record,
    read_record,
)

FOLDERS = {
    "anomaly": ANOMALY,
    "performance": PERFORMANCE,
    "reliability": RELIABILITY,
    "scale": SCALE,
}
_HEADERS = {
    "anomaly": """# Anomalies

How well the detectors of `detect` separate what does not belong. `python -m benchmarks.anomaly.run`
writes this page from the records in [docs/anomaly](anomaly/); do not edit it. The numbers are
AUROCs: the probability that an anomaly has a higher score than a normal image; 0.5 is chance.
*default* is the method that the bundle would use, chosen by made-up defects of held-out normal
images. The test images choose nothing. The autoencoder is PCA with 32 numbers, at which the default
recipe starts.

## Out of the box

```text
tiles/train/good/*.png    normal images only
tiles/test/good/*.png     optional: test images,
tiles/test/crack/*.png    and real defects of any kinds
```

`latentd train tiles` (MVTec's layout; a flat folder of normal images works too) fits four detectors
and their best combination, calibrates them on held-out normal images, and publishes them with the
networks; `latentd import` does the same. With real defects, the report and `quality` in
`GET /v1/models` have their AUROC, average precision, F1 and false alarms. `latentd refit NAME
--detectors` adds detectors to an older bundle. A recipe's `detection.steps` is the length of the
training of the segmenter, the only detector that is trained by gradient steps.

[The API](api.md#detection-of-anomalies) describes methods, scores and heat maps,
[Monitoring](monitoring.md) thresholds and drift.

For comparison: Deep SVDD (Ruff et al., Deep One-Class Classification, ICML 2018) has a mean AUROC
of 0.948 on MNIST with one class normal, over the same ten protocols.
""",
    "performance": """# Performance

Throughput, latency, memory and start-up time of latentd, compared with other servers and with the
libraries that it is built on. `make bench` writes this page from the records in
[docs/performance](performance/); do not edit it. Each comparison alternates between its subjects in
several rounds on the machine that its section names. The other servers, each with pinned packages,
are in [benchmarks/peers](../benchmarks/peers/).

`make bench ARGS=classify` repeats one section. It requires `wrk`, `taskset`, two CPUs, and the
Fashion-MNIST data set (`LATENTD_DATA`).

`benchmarks/gpu.sh` measures a CUDA device and adds a section *Serving on a CUDA device* here. While
that section is missing, it has never run on one, and the device selection is tested with a fake
driver and fake providers only.
""",
    "reliability": """# Reliability

Behaviour of latentd under attack, overload and faults. `make reliability` writes this page from the
records in [docs/reliability](reliability/); do not edit it. Each section names the script that
measured it. A script declares bounds for each row; the column *met* compares the row with them, and
the script exits with status 1 if a bound is violated. `make test` runs short versions of these
tests; `make soak` and `make fuzz` repeat the long ones.
""",
    "scale": """# Scale

What several machines need, do and lose. `make scale` writes this page from the records in
[docs/scale](scale/); do not edit it. Each section names the command that measured it.

The table of costs answers what 1, 1,000 and 1,000,000 requests per second of each operation take.
What breaks first:

- **At 1 request per second**, the only process: a restart is an outage. Run two replicas in two
  zones; they idle.
- **At 1,000**, the CPU of a machine, then the queue during the next deployment or after the loss
  of a zone. Run replicas in three zones at 60 % of their cores, behind a balancer that prefers
  the shorter queue and repeats a failed request once.
- **At 1,000,000**, the access log (see its column), then connections and bandwidth of a balancer,
  then the lists of the models store by every worker. Set `LATENTD_LOG_LEVEL=warning` and log a
  sample at the balancers; use several balancers behind DNS or anycast, with keep-alive; set a
  longer `LATENTD_WATCH_SECONDS`; send binary bodies (`.npy`) and several images per request.

While the section *Ray Serve* is missing, `python -m benchmarks.scale.ray_serve` has not
completed: Ray 2.60.0 did not start its node on a machine with 20 times as much work as CPUs. The
deployment was only loaded with Ray, and its health check called before and after the models were
loaded.

The manifests of [deploy/kubernetes](../deploy/kubernetes/) are validated against the published
schemas, and the command of the image is tested with the environment that Kubernetes injects. No
cluster (k3s, kind) runs on the machines where latentd is developed: the manifests have never been
applied, and autoscaling, the network policy and KServe have never been seen at work. Google Cloud
Storage, Azure and Hugging Face stores are untested; S3 is tested against moto's server.
""",
}
_GOALS = {"anomaly": "Goal", "performance": "Goal", "reliability": "Must hold", "scale": "Goal"}


def find_page(name: str) -> Path:
    """Return the file of a page."""
    return FOLDERS[name].parent / f"{name}.md"


def write_page(name: str, folder: Path | None = None) -> str:
    """Return a page with one table for each record, sorted by name.

    Args:
        name: A key of `FOLDERS`.
        folder: Folder of the records; None for the one in `FOLDERS`.
    """
    records = [read_record(file) for file in sorted((folder or FOLDERS[name]).glob("*.json"))]
    sections = [_write_section(record, _GOALS[name]) for record in records]
    return "\n".join([_HEADERS[name], *sections])


def _write_section(record: Record, goal: str) -> str:
    seed = "" if record.seed is None else f" Seed {record.seed}."
    columns, rows = _add_met(record)
    lines = [
        f"## {record.title}",
        "",
        f"**{goal}:** {record.goal}",
        "",
        _write_row(columns),
        _write_row(["---"] * len(columns)),
        *(_write_row(row) for row in rows),
        "",
        f"`{record.command}`, {record.date}.{seed} {record.machine}.",
        *(["", record.remark] if record.remark else []),
    ]
    return "\n".join(lines) + "\n"


def _add_met(record: Record) -> tuple[Sequence[str], list[Sequence[Cell]]]:
    """Return columns and rows, with a column *met* if the record declares bounds."""
    if not record.bounds:
        return record.columns, [*record.rows]
    rows = [[*row, _write_met(record, number)] for number, row in enumerate(record.rows)]
    return [*record.columns, "met"], [*rows]


def _write_met(record: Record, number: int) -> str:
    if not record.bounds[number]:
        return "-"
    violations = record.list_violations(number)
    return f"no: {'; '.join(violations)}" if violations else "yes"


def _write_row(cells: Sequence[Cell]) -> str:
    texts = [_write_cell(cell) for cell in cells]
    return f"| {' | '.join(texts)} |"


def _write_cell(cell: Cell) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", choices=sorted(FOLDERS))
    for name in parser.parse_args().pages:
        find_page(name).write_text(write_page(name))
        print(f"wrote {find_page(name).name}")


if __name__ == "__main__":
    main()
