"""Prometheus exposition of `service.observability.metrics`, for one process or all workers.

Workers share a folder of small files (prometheus_client's multiprocess mode). The files of dead
workers are merged into one file per metric type: otherwise they would accumulate in memory.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.errors import LatentdError
from service.observability.metrics import FOLDER_VARIABLE, MODEL_INFO_NAME, REGISTRY
from service.observability.prometheus_internals import (
    FILE_BYTES,
    MmapedDict,
    MultiProcessCollector,
    allocate,
    mmap_key,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_MIN_BYTES = 16 * FILE_BYTES
_log = logging.getLogger(__name__)
_MEMORY = "/dev/shm"  # noqa: S108 - `mkdtemp` creates a private folder in it


def render_metrics() -> bytes:
    """Return every metric, summed over all workers, in Prometheus' text format 0.0.4."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    registry.register(_WorkersCollector(Path(folder)))
    return generate_latest(registry)


class _WorkersCollector(Collector):
    """Sums the metrics in the files of all workers; one process collects at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the sums; gauges of dead workers are dropped, their counters are kept."""
        import fcntl  # noqa: PLC0415 - not on Windows, where workers cannot share a socket either

        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for file in self._folder.glob("*.db"):
                pid = file.stem.rpartition("_")[2]
                if pid.isdecimal() and not _is_alive(int(pid)):
                    _merge_dead_worker(file)
            metrics = _sum_files(self._folder.glob("*.db"))
        for metric in metrics:
            if metric.name == MODEL_INFO_NAME:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


def _sum_files(files: Iterable[Path], *, accumulate: bool = True) -> list[Metric]:
    # A file is empty if its worker has just created it, or was killed at that moment.
    paths = [str(file) for file in files if file.stat().st_size]
    return [*MultiProcessCollector.merge(paths, accumulate)]  # type: ignore[no-untyped-call]


def _merge_dead_worker(file: Path) -> None:
    """Remove the file of a dead worker after adding its counters to `<type>_past.db`."""
    metric_type = file.stem.partition("_")[0]
    if metric_type != "gauge":
        past = file.with_name(f"{metric_type}_past.db")
        new = file.with_name(f"{metric_type}_new")
        new.unlink(missing_ok=True)
        try:
            allocate(new)
        except OSError:  # no space: a later scrape merges the file
            return
        sums = MmapedDict(str(new))  # type: ignore[no-untyped-call]
        for metric in _sum_files([past, file] if past.exists() else [file], accumulate=False):
            for sample in metric.samples:
                labels = [*sample.labels], [*sample.labels.values()]
                key = mmap_key(metric.name, sample.name, *labels, metric.documentation)
                sums.write_value(key, sample.value, 0)  # type: ignore[no-untyped-call]
        sums.close()  # type: ignore[no-untyped-call]
        new.rename(past)
    file.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def share_metrics_folder() -> Iterator[Path]:
    """Create the folder that child processes share for their metrics; remove it at the end.

    Raises:
        LatentdError: neither shared memory nor the temporary folder is writable.
    """
    folder = _make_folder()
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield Path(folder)
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> str:
    """Create a folder in shared memory, or in the temporary folder if there is no space for it."""
    for parent in (_MEMORY, None):
        with contextlib.suppress(OSError):
            if parent is None or shutil.disk_usage(parent).free >= _MIN_BYTES:
                return tempfile.mkdtemp(prefix="latentd-metrics-", dir=parent)
            _log.warning(
                "%s has less than %d bytes of free space: the metrics use TMPDIR",
                parent,
                _MIN_BYTES,
            )
    raise LatentdError(
        f"several workers need a writable folder for their metrics, and neither {_MEMORY} nor the "
        "temporary folder is one: set TMPDIR to a writable folder"
    )
