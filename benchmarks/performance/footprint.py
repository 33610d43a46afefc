"""Start-up time, memory and installed size of latentd."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness.dataset import SHIPPED, read_images, to_png
from benchmarks.harness.http_load import Request
from benchmarks.harness.options import Options
from benchmarks.harness.peer_environments import read_versions
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.response_checks import fetch
from benchmarks.harness.rounds import Goal, alternate, find_ratio, find_spread, judge
from benchmarks.harness.servers import run_latentd

_ROOT = Path(__file__).parents[2]
_IMPORTS = ("fastapi", "uvicorn", "onnxruntime", "numpy", "PIL")
_OPERATIONS = ("classify", "encode", "reconstruct", "denoise")
_REPETITIONS = 100
_START_RATIO = Goal(1.5, at_most=True)
_MEMORY = Goal(160, at_most=True, unit=" MB")
_DISK = Goal(250, at_most=True, unit=" MB")
_POLL_SECONDS = 0.005
_INSTALL_SECONDS = 600.0


def time_start() -> float:
    """Return the seconds from the start of latentd until it is ready."""
    start = time.perf_counter()
    with run_latentd(["--drain-seconds", "0"], poll=_POLL_SECONDS):
        return time.perf_counter() - start


def time_imports() -> float:
    """Return the duration of a Python process that only imports latentd's dependencies."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {', '.join(_IMPORTS)}"], check=True)  # noqa: S603 - our own
    return time.perf_counter() - start


def measure_memory() -> tuple[float, float]:
    """Return RSS and PSS in MB of a worker after requests to every shipped bundle."""
    png = to_png(read_images(1)[0])
    with run_latentd(["--threads", "1"]) as server:
        for bundle in sorted(folder.name for folder in SHIPPED.iterdir()):
            requests = [
                Request(name, f"/v1/{name}?model={bundle}", png, "image/png")
                for name in _OPERATIONS
            ]
            requests.append(Request("sample", f"/v1/sample?model={bundle}", b"{}"))
            for request in requests * _REPETITIONS:
                fetch(server.port, request)
        return server.rss, server.pss


def measure_install() -> int:
    """Return the installed size of latentd for serving in MB, from `make image-check`.

    It runs in a copy of the tree, because the installation first removes `build`.

    Raises:
        RuntimeError: The check failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "latentd"
        shutil.copytree(_ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "data", "runs"))
        completed = subprocess.run(
            ["/bin/sh", "deploy/check.sh"],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    if completed.returncode:
        raise RuntimeError(f"deploy/check.sh failed: {completed.stderr[-500:]}")
    return parse_size(completed.stdout)


def parse_size(text: str) -> int:
    """Return the size in MB from the output of deploy/check.sh.

    Raises:
        RuntimeError: The output contains no size.
    """
    match = re.search(r"Installed size: (\d+) MB", text)
    if match is None:
        raise RuntimeError("Expected 'Installed size: N MB' in the output of deploy/check.sh.")
    return int(match[1])


def to_row(metric: str, value: float, goal: Goal | None, spread: str = "-") -> tuple[Cell, ...]:
    """Return a row of the table."""
    return (metric, round(value, 2), spread, *judge(goal, value))


def measure(options: Options) -> Record:
    """Time starts and imports in alternating rounds, then measure memory and disk."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    time_start(), time_imports()  # warm the page cache
    times = alternate({"start": time_start, "imports": time_imports}, 2 * options.rounds)
    start, imports = times["start"], times["imports"]
    rss, pss = measure_memory()
    ratio, spread = find_ratio(start, imports), find_spread(start, imports)
    rows = [
        to_row("start until ready, s", statistics.median(start), None),
        to_row("imports of the dependencies, s", statistics.median(imports), None),
        to_row("start / imports", ratio, _START_RATIO, spread),
        to_row("memory of a worker (RSS), MB", rss, _MEMORY),
        to_row("memory of a worker (PSS), MB", pss, _MEMORY),
        to_row("installed for serving, MB", measure_install(), _DISK),
    ]
    versions = read_versions(sys.executable, ("latentd", "fastapi", "onnxruntime", "numpy"))
    return make_record(options, rows, versions)


def make_record(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="footprint",
        title="Start-up time, memory and disk",
        command="make bench ARGS=footprint",
        goal=f"The start takes at most {_START_RATIO.limit:g} times as long as the import of "
        f"{', '.join(_IMPORTS)}; a worker with both bundles uses at most {_MEMORY.limit:g} MB; the "
        f"installation for serving, without torch, takes at most {_DISK.limit:g} MB.",
        columns=("metric", "value", "ratios per round", "goal", "met"),
        rows=rows,
        remark=(
            f"Starts and imports run in {2 * options.rounds} alternating rounds, in fresh "
            "processes with a warm page cache; the ratio is the median of the ratios within a "
            f"round. Memory is measured after {_REPETITIONS} requests for each of "
            f"{len(_OPERATIONS) + 1} operations on each shipped bundle, in MB of 2^20 bytes. The "
            f"disk size is that of `make image-check`. {versions}. {options.remark}"
        ).strip(),
    )
