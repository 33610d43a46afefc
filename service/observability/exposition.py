"""Gives what `service.observability.metrics` holds: of this process, or of all workers together.

Workers share a folder of small files, a few for each (prometheus_client's multiprocess mode). What
dead ones left is folded into one file a kind, or a worker that dies often would fill the memory.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.errors import LatentdError
from service.observability.metrics import FOLDER_VARIABLE, MODEL_INFO, REGISTRY

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_MEMORY = "/dev/shm"  # noqa: S108 - `mkdtemp` makes a new folder in it that is ours alone


def render_metrics() -> bytes:
    """Return every metric, of all workers together, in Prometheus' text format 0.0.4."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    registry.register(_Workers(Path(folder)))
    return generate_latest(registry)


class _Workers(Collector):
    """Adds up the workers' files, one worker at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the sums; what a dead worker had in hand is forgotten, what it did is not."""
        import fcntl  # noqa: PLC0415 - Windows has none, nor workers that share a socket

        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for file in self._folder.glob("*.db"):
                process = file.stem.rpartition("_")[2]
                if process.isdecimal() and not _lives(int(process)):
                    _fold(file)
            metrics = _add_up(self._folder.glob("*.db"))
        for metric in metrics:
            if metric.name == MODEL_INFO._name:  # noqa: SLF001 - it has no other name
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


def _add_up(files: Iterable[Path], *, accumulate: bool = True) -> list[Metric]:
    # A worker that has only just made its file, or was killed then, has left it empty.
    whole = [str(file) for file in files if file.stat().st_size]
    return [*MultiProcessCollector.merge(whole, accumulate)]  # type: ignore[no-untyped-call]


def _fold(file: Path) -> None:
    """Remove a dead worker's file; what it counted goes into the file of the past."""
    kind = file.stem.partition("_")[0]
    if kind != "gauge":
        past, new = file.with_name(f"{kind}_past.db"), file.with_name(f"{kind}_new")
        new.unlink(missing_ok=True)
        sums = MmapedDict(str(new))  # type: ignore[no-untyped-call]
        for metric in _add_up([past, file] if past.exists() else [file], accumulate=False):
            for sample in metric.samples:
                name = metric.name, sample.name
                labels = [*sample.labels], [*sample.labels.values()]
                key = mmap_key(*name, *labels, metric.documentation)
                sums.write_value(key, sample.value, 0)  # type: ignore[no-untyped-call]
        sums.close()  # type: ignore[no-untyped-call]
        new.rename(past)
    file.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def share_metrics_folder() -> Iterator[Path]:
    """Make the folder that processes started meanwhile share; remove it in the end.

    Raises:
        LatentdError: neither the shared memory nor the temporary folder can be written.
    """
    folder = _make_folder()
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield Path(folder)
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> str:
    """Return a new folder, in memory where that can be written, as in a container it can."""
    for parent in (_MEMORY, None):
        with contextlib.suppress(OSError):
            return tempfile.mkdtemp(prefix="latentd-metrics-", dir=parent)
    raise LatentdError(
        "the workers' metrics need a folder to share: "
        f"neither {_MEMORY} nor a temporary folder (set TMPDIR) can be written"
    )
