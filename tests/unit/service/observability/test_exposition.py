"""Metrics across processes: sums over workers, and files of dead workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import LatentdError
from service.observability import exposition, metrics

WORKER = """
import os, signal, sys
from service.observability import metrics
from service.observability import exposition

metrics.count_request("classify", 200, 0.002)
metrics.IN_FLIGHT.inc()
metrics.add_model_info("mnist", 1, "onnx", "cpu", "a")
metrics.add_model_info("mnist", 2, "onnx", "cpu", "b")
metrics.remove_model_info("mnist", 1, "onnx", "cpu", "a")
print("ready", flush=True)
sys.stdin.readline()
print(exposition.render_metrics().decode(), end="", flush=True)
"""


def start_worker() -> subprocess.Popen[str]:
    """Start a process that counts a request in the shared folder and waits."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def scrape(worker: subprocess.Popen[str]) -> dict[str, float]:
    """Return the metrics that a worker exposes for all workers, and let it exit."""
    series, _ = worker.communicate("\n", timeout=30)
    rows = [line for line in series.splitlines() if not line.startswith("#")]
    return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}


def test_metrics_of_workers_are_summed() -> None:
    """Each worker exposes the sums over all workers and the loaded models only."""
    with exposition.share_metrics_folder():
        workers = [start_worker() for _ in range(3)]
        first, *others = workers
        series = scrape(first)
        for worker in others:
            scrape(worker)

    assert series['latentd_requests_total{operation="classify",status="200"}'] == 3
    assert series['latentd_request_seconds_count{operation="classify"}'] == 3
    assert series["latentd_in_flight"] == 3
    models = {
        name: value for name, value in series.items() if name.startswith("latentd_model_info")
    }
    assert [("b" in name, value) for name, value in models.items()] == [(True, 1)]


def test_killed_worker_keeps_its_counters() -> None:
    """After SIGKILL of a worker, its counters remain and its gauges are dropped."""
    with exposition.share_metrics_folder():
        killed, alive = start_worker(), start_worker()
        killed.kill()
        killed.wait()
        killed.communicate()
        series = scrape(alive)

    assert series['latentd_requests_total{operation="classify",status="200"}'] == 2
    assert series["latentd_in_flight"] == 1


def test_files_of_dead_workers_do_not_accumulate() -> None:
    """The counters of any number of dead workers are kept in a constant number of files."""
    with exposition.share_metrics_folder() as folder:
        sizes = []
        for _ in range(4):
            killed, alive = start_worker(), start_worker()
            killed.kill()
            killed.communicate()
            series = scrape(alive)
            sizes.append(len(list(folder.iterdir())))

    assert series['latentd_requests_total{operation="classify",status="200"}'] == 8
    assert series['latentd_request_seconds_bucket{le="0.001",operation="classify"}'] == 0
    assert series['latentd_request_seconds_bucket{le="+Inf",operation="classify"}'] == 8
    assert series['latentd_request_seconds_sum{operation="classify"}'] == pytest.approx(8 * 0.002)
    assert sizes[1:] == [sizes[1]] * 3


def test_empty_file_is_skipped() -> None:
    """The empty file of a worker killed during its start is skipped."""
    with exposition.share_metrics_folder() as folder:
        (folder / f"counter_{os.getpid()}.db").touch()  # of a live process
        worker = start_worker()
        series = scrape(worker)

    assert series["latentd_in_flight"] == 1


def test_shared_folder_is_removed() -> None:
    """The shared folder and its environment variable exist only inside the context."""
    with exposition.share_metrics_folder() as folder:
        assert folder.is_dir()
        assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)

    assert not folder.exists()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_temporary_folder_without_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If /dev/shm is not writable, the folder is created with the temporary files."""
    monkeypatch.setattr(exposition, "_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(exposition.tempfile, "tempdir", str(tmp_path))

    with exposition.share_metrics_folder() as folder:
        assert folder.parent == tmp_path


def test_no_writable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a writable folder the start fails, instead of exposing wrong values."""
    monkeypatch.setattr(exposition, "_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(exposition.tempfile, "tempdir", str(tmp_path / "none"))

    with pytest.raises(LatentdError, match="TMPDIR"), exposition.share_metrics_folder():
        pass


def test_removed_model_info_is_not_exposed() -> None:
    """The series of a removed model is not exposed; removing it twice is allowed."""
    metrics.add_model_info("gone", 1, "onnx", "cpu", "c")
    shown = exposition.render_metrics()
    for _ in range(2):
        metrics.remove_model_info("gone", 1, "onnx", "cpu", "c")

    assert b'model="gone"' in shown
    assert b'model="gone"' not in exposition.render_metrics()
