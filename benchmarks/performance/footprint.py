"""What latentd takes: time to start, memory, and disk."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loads import Request
from records import Cell, Record
from servers import run_latentd

from performance.answers import ask
from performance.environments import read_versions
from performance.options import Options
from performance.pictures import SHIPPED, read_images, to_png
from performance.rounds import Goal, alternate, find_ratio, find_spread

_ROOT = Path(__file__).parents[2]
_IMPORTS = ("fastapi", "uvicorn", "onnxruntime", "numpy", "PIL")
_OPERATIONS = ("classify", "encode", "reconstruct", "denoise")
_TIMES = 100
_START = Goal(1.5, at_most=True)
_MEMORY = Goal(160, at_most=True, unit=" MB")
_DISK = Goal(250, at_most=True, unit=" MB")
_POLL_SECONDS = 0.005
_INSTALL_SECONDS = 600.0


def time_start() -> float:
    """Return the seconds from starting latentd until it is ready."""
    start = time.perf_counter()
    with run_latentd(["--drain-seconds", "0"], poll=_POLL_SECONDS):
        return time.perf_counter() - start


def time_imports() -> float:
    """Return the seconds that a fresh Python takes to import what latentd stands on, and to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {', '.join(_IMPORTS)}"], check=True)  # noqa: S603 - our own
    return time.perf_counter() - start


def measure_memory() -> tuple[float, float]:
    """Return RSS and PSS in MB of a worker that has answered requests to every shipped bundle."""
    png = to_png(read_images(1)[0])
    with run_latentd(["--threads", "1"]) as server:
        for bundle in sorted(folder.name for folder in SHIPPED.iterdir()):
            requests = [
                Request(name, f"/v1/{name}?model={bundle}", png, "image/png")
                for name in _OPERATIONS
            ]
            requests.append(Request("sample", f"/v1/sample?model={bundle}", b"{}"))
            for request in requests * _TIMES:
                ask(server.port, request)
        return server.rss, server.pss


def measure_install() -> int:
    """Return the MB that installing latentd for serving takes, as `make image-check` finds it.

    It runs in a copy of the tree, because installing begins with removing `build`.

    Raises:
        RuntimeError: the check failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "latentd"
        shutil.copytree(_ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "data", "runs"))
        ended = subprocess.run(
            ["/bin/sh", "deploy/check.sh"],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    if ended.returncode:
        raise RuntimeError(f"deploy/check.sh failed: {ended.stderr[-500:]}")
    return parse_size(ended.stdout)


def parse_size(text: str) -> int:
    """Return the size in MB that deploy/check.sh printed.

    Raises:
        RuntimeError: it printed none.
    """
    found = re.search(r"Installed size: (\d+) MB", text)
    if found is None:
        raise RuntimeError("deploy/check.sh told no size")
    return int(found[1])


def to_row(what: str, value: float, goal: Goal, note: str = "-") -> tuple[Cell, ...]:
    """Return a row of the table."""
    return (what, round(value, 2), note, *goal.to_cells(value))


def measure(options: Options) -> Record:
    """Time starts and imports in turn, then measure memory and disk."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    time_start(), time_imports()  # so that every file was read once
    found = alternate({"start": time_start, "imports": time_imports}, 2 * options.rounds)
    start, imports = found["start"], found["imports"]
    rss, pss = measure_memory()
    rows = [
        ("start to ready, s", round(statistics.median(start), 2), "-", "-", "-"),
        ("importing what it stands on, s", round(statistics.median(imports), 2), "-", "-", "-"),
        to_row("start / imports", find_ratio(start, imports), _START, find_spread(start, imports)),
        to_row("memory of a worker (RSS), MB", rss, _MEMORY),
        to_row("memory of a worker (PSS), MB", pss, _MEMORY),
        to_row("installed for serving, MB", measure_install(), _DISK),
    ]
    return write(options, rows)


def write(options: Options, rows: list[tuple[Cell, ...]]) -> Record:
    """Return the record."""
    versions = read_versions(sys.executable, ("latentd", "fastapi", "onnxruntime", "numpy"))
    return Record(
        name="footprint",
        title="Start, memory and disk",
        command="make bench ARGS=footprint",
        goal="a start takes at most 1.5 times as long as importing "
        f"{', '.join(_IMPORTS)}; a worker with both bundles at most 160 MB; what serving needs, "
        "installed without torch, at most 250 MB.",
        columns=("what", "figure", "ratios of the rounds", "goal", "met"),
        rows=rows,
        remark=(
            f"Starts and imports in {2 * options.rounds} alternating rounds, in fresh processes "
            "whose files were read before; the ratio is the median of the ratios within a round. "
            f"Memory after {_TIMES} times {len(_OPERATIONS) + 1} operations on each of the shipped "
            "bundles, in MB of 2^20 bytes. The disk is what `make image-check` counts. "
            f"{versions}. {options.remark}"
        ).strip(),
    )
