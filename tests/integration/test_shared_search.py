"""A search that several processes share through PostgreSQL, as on several machines."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import run_postgres
from tests.support.servers import wait_until
from tests.support.service_process import ROOT

psycopg = pytest.importorskip("psycopg")

TRIALS = 6
PROCESSES = 4


@pytest.fixture
def storage() -> Iterator[str]:
    """The URL of a running PostgreSQL; its socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        with run_postgres(Path(folder) / "server") as url:
            yield url


def start(storage: str, runs: Path) -> subprocess.Popen[bytes]:
    """Start a process of the study, with run folders of its own as on another machine."""
    command = [sys.executable, "-m", "training", "tune", "digits", "--device=cpu", f"--runs={runs}"]
    flags = [f"--trials={TRIALS}", f"--storage={storage}", "--set", "autoencoder.epochs=1"]
    return subprocess.Popen(
        [*command, *flags, "--sampler=random", "--pruner=none"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def count_states(storage: str) -> Counter[str]:
    """Return the number of trials in each state; none before the study exists."""
    with (
        contextlib.suppress(psycopg.errors.UndefinedTable),
        psycopg.connect(storage.replace("+psycopg", "")) as connection,
    ):
        rows = connection.execute("SELECT state::text, count(*) FROM trials GROUP BY state")
        return Counter(dict(rows.fetchall()))
    return Counter()


def test_a_killed_process_loses_its_own_trial_only(storage: str, tmp_path: Path) -> None:
    """The other processes complete the requested number; each may add the trial it was running."""
    processes = [start(storage, tmp_path / "0")]
    try:
        wait_until(lambda: count_states(storage)["RUNNING"], timeout=120)
        processes += [start(storage, tmp_path / str(number)) for number in range(1, PROCESSES)]
        processes[0].kill()
        errors = [process.communicate(timeout=240)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert [process.returncode for process in processes] == [-signal.SIGKILL, 0, 0, 0], errors
    states = count_states(storage)
    assert TRIALS <= states["COMPLETE"] <= TRIALS + PROCESSES - 2
    assert states == {"COMPLETE": states["COMPLETE"], "RUNNING": 1}
