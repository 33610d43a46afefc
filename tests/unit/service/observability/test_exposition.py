"""Metrics across processes: workers' numbers add up, and dead workers do no harm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import LatentdError
from service.observability import exposition as scrape
from service.observability import metrics

WORKER = """
import os, signal, sys
from service.observability import metrics
from service.observability import exposition as scrape

metrics.count_request("classify", 200, 0.002)
metrics.IN_FLIGHT.inc()
metrics.add_model_info("mnist", 1, "onnx", "a")
metrics.add_model_info("mnist", 2, "onnx", "b")
metrics.remove_model_info("mnist", 1, "onnx", "a")
print("ready", flush=True)
sys.stdin.readline()
print(scrape.render_metrics().decode(), end="", flush=True)
"""


def start_worker() -> subprocess.Popen[str]:
    """Start a process that counts a request and waits, within a shared folder."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def read(worker: subprocess.Popen[str]) -> dict[str, float]:
    """Return what a worker tells of all of them, and let it end."""
    told, _ = worker.communicate("\n", timeout=30)
    rows = [line for line in told.splitlines() if not line.startswith("#")]
    return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}


def test_workers_add_up() -> None:
    """Each worker tells what all of them counted, and which models they serve by now."""
    with scrape.share_metrics_folder():
        workers = [start_worker() for _ in range(3)]
        first, *others = workers
        told = read(first)
        for worker in others:
            read(worker)

    assert told['latentd_requests_total{operation="classify",status="200"}'] == 3
    assert told['latentd_request_seconds_count{operation="classify"}'] == 3
    assert told["latentd_in_flight"] == 3
    models = {name: value for name, value in told.items() if name.startswith("latentd_model_info")}
    assert [("b" in name, value) for name, value in models.items()] == [(True, 1)]


def test_a_killed_worker_is_forgotten_but_not_what_it_did() -> None:
    """After kill -9 of a worker its requests count on, and it has none in hand any more."""
    with scrape.share_metrics_folder():
        killed, alive = start_worker(), start_worker()
        killed.kill()
        killed.wait()
        killed.communicate()
        told = read(alive)

    assert told['latentd_requests_total{operation="classify",status="200"}'] == 2
    assert told["latentd_in_flight"] == 1


def test_workers_that_die_leave_little() -> None:
    """However many workers died, their numbers are kept, and the files stay as few as they were."""
    with scrape.share_metrics_folder() as folder:
        sizes = []
        for _ in range(4):
            killed, alive = start_worker(), start_worker()
            killed.kill()
            killed.communicate()
            told = read(alive)
            sizes.append(len(list(folder.iterdir())))

    assert told['latentd_requests_total{operation="classify",status="200"}'] == 8
    assert told['latentd_request_seconds_bucket{le="0.001",operation="classify"}'] == 0
    assert told['latentd_request_seconds_bucket{le="+Inf",operation="classify"}'] == 8
    assert told['latentd_request_seconds_sum{operation="classify"}'] == pytest.approx(8 * 0.002)
    assert sizes[1:] == [sizes[1]] * 3


def test_a_worker_killed_while_it_starts_breaks_nothing() -> None:
    """A file that was made and never filled is passed over."""
    with scrape.share_metrics_folder() as folder:
        (folder / f"counter_{os.getpid()}.db").touch()  # of a process that lives
        worker = start_worker()
        told = read(worker)

    assert told["latentd_in_flight"] == 1


def test_the_folder_is_removed() -> None:
    """The shared folder lives as long as the workers, and so does the variable that names it."""
    with scrape.share_metrics_folder() as folder:
        assert folder.is_dir()
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)

    assert not folder.exists()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_without_shared_memory_a_temporary_folder_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /dev/shm cannot be written the folder is made where temporary files are."""
    monkeypatch.setattr(scrape, "_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(scrape.tempfile, "tempdir", str(tmp_path))

    with scrape.share_metrics_folder() as folder:
        assert folder.parent == tmp_path


def test_with_nowhere_to_write_the_start_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written that is said, rather than wrong numbers shown."""
    monkeypatch.setattr(scrape, "_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(scrape.tempfile, "tempdir", str(tmp_path / "none"))

    with pytest.raises(LatentdError, match="TMPDIR"), scrape.share_metrics_folder():
        pass


def test_a_model_that_is_no_longer_served_is_gone() -> None:
    """In one process, too, a model's row ends with it; hiding it twice does no harm."""
    metrics.add_model_info("gone", 1, "onnx", "c")
    shown = scrape.render_metrics()
    for _ in range(2):
        metrics.remove_model_info("gone", 1, "onnx", "c")

    assert b'model="gone"' in shown
    assert b'model="gone"' not in scrape.render_metrics()
