"""The undocumented names of prometheus_client; other modules reach them through this one.

`exposition` also relies on the names of files, `<type>_<pid>.db`. `pyproject.toml` caps the
version, and `test_prometheus_internals.py` checks each name.
"""

import logging
import os
import tempfile
from pathlib import Path

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["MmapedDict", "MultiProcessCollector", "allocate", "allocate_files", "mmap_key"]

FILE_BYTES = 1024 * 1024
"""Space for the values of one type of metrics in one process: about 6,000 series."""

_log = logging.getLogger(__name__)


class _AllocatedDict(MmapedDict):
    """Values in a file whose space is allocated when it is created.

    prometheus_client creates sparse files. A write to one on a full file system is a SIGBUS, which
    ends the worker without a log line.
    """

    def __init__(self, filename: str) -> None:
        """Open or create a file; without space for it, one in the temporary folder."""
        try:
            allocate(Path(filename))
        except OSError as error:
            with tempfile.NamedTemporaryFile(prefix="latentd-metrics-", delete=False) as file:
                _log.error("/metrics lacks this process: %s (%s)", error, filename)
                filename = file.name
            allocate(Path(filename))
        super().__init__(filename)  # type: ignore[no-untyped-call]


def allocate(file: Path) -> None:
    """Allocate the space of a file; raise OSError and remove it if there is not enough."""
    with file.open("a+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, FILE_BYTES)
        except OSError:
            file.unlink()
            raise


def allocate_files() -> None:
    """Allocate the space of the files that this process creates from now on."""
    values.MmapedDict = _AllocatedDict  # type: ignore[attr-defined,assignment]
