"""Try to load a bundle in a short-lived process before a process that serves loads it.

A graph may take minutes or gigabytes to load, and a library may crash on it. The process has limits
on time and memory; it is no sandbox against code.

usage: python -m service.inference.registry.trial STORE NAME VERSION BACKEND SECONDS MEMORY_BYTES
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import cast

from service.artifact import Bundle, open_bundle
from service.artifact.specs import GraphFormat
from service.errors import ArtifactError, LatentdError
from service.inference.model import load_model
from service.observability.metrics import FOLDER_VARIABLE
from service.runtimes import open_runtime

_REJECTED = 3
_PASSED = "passed"
_MAX_TEXT = 4096
_FAILURE_SECONDS = 600.0
"""Time for which a failure is remembered: it may have been caused by other work."""
_MIB = 1024 * 1024


class UntriedError(Exception):
    """A bundle was not tried yet: call `Trial.run`, then check it again."""


class Trial:
    """Loads bundles in other processes, and remembers the outcomes. All methods are thread-safe."""

    def __init__(self, store: Path, seconds: float, memory_bytes: int) -> None:
        """Start without outcomes.

        Args:
            store: Folder of the models store.
            seconds: Timeout of a process.
            memory_bytes: Memory that loading may take.
        """
        self.store = store
        self.seconds = seconds
        self.memory_bytes = memory_bytes
        self._outcomes: dict[str, tuple[str, float]] = {}
        """For each bundle the reason of its rejection, or an empty text, and the time."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def check(self, bundle: Bundle, backend: GraphFormat) -> None:
        """Check the outcome of a bundle's trial.

        Raises:
            UntriedError: it was not tried, or its failure is 10 minutes old.
            ArtifactError: it could not be loaded within the limits.
        """
        reason, time_ = self._outcomes.get(_name(bundle, backend), ("unknown", 0.0))
        if reason and time.monotonic() - time_ > _FAILURE_SECONDS:
            raise UntriedError
        if reason:
            raise ArtifactError(reason)

    def forget_failures(self) -> None:
        """Forget failures, such as those of a machine that was busy."""
        self._outcomes = {key: value for key, value in self._outcomes.items() if not value[0]}

    def run(self, bundle: Bundle, backend: GraphFormat) -> None:
        """Try a bundle, unless another thread or worker has done so; wait for one that does."""
        name = _name(bundle, backend)
        with self._locks[name]:
            with contextlib.suppress(UntriedError, ArtifactError):
                self.check(bundle, backend)
                return
            shared = os.environ.get(FOLDER_VARIABLE)
            self._outcomes[name] = (
                (self._try(bundle, backend), time.monotonic())
                if shared is None
                else self._try_once(bundle, backend, Path(shared, name))
            )

    def _try_once(self, bundle: Bundle, backend: GraphFormat, file: Path) -> tuple[str, float]:
        """Run the trial if no other worker has; return its outcome, which a file has for all.

        The monotonic clock of the file is the same in all processes of a machine.
        """
        import fcntl  # noqa: PLC0415 - not on Windows, where workers cannot share a socket either

        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # the file system is full: each worker runs its own trial
            return self._try(bundle, backend), time.monotonic()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = os.pread(descriptor, _MAX_TEXT, 0).decode(errors="replace")  # may be cut
            written, _, text = content.partition("\n")
            time_ = float(written or 0)
            is_old = text != _PASSED and time.monotonic() - time_ > _FAILURE_SECONDS
            if not text or is_old:
                text, time_ = self._try(bundle, backend) or _PASSED, time.monotonic()
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{time_}\n{text}".encode()[:_MAX_TEXT], 0)
        finally:
            os.close(descriptor)
        return "" if text == _PASSED else text, time_

    def _try(self, bundle: Bundle, backend: GraphFormat) -> str:
        """Return why a bundle is rejected; an empty text if it is not."""
        try:
            self._run(bundle, backend)
        except ArtifactError as error:
            return str(error)
        return ""

    def _run(self, bundle: Bundle, backend: GraphFormat) -> None:
        place = [str(self.store.resolve()), bundle.name, str(bundle.version), backend]
        limits = [str(self.seconds), str(self.memory_bytes)]
        environment = {name: text for name, text in os.environ.items() if name != FOLDER_VARIABLE}
        try:
            result = subprocess.run(  # noqa: S603 - this module
                [sys.executable, "-m", __name__, *place, *limits],
                env=environment | {"MALLOC_ARENA_MAX": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ArtifactError(
                f"loading takes more than {self.seconds:g} s (setting LATENTD_LOAD_SECONDS)"
            ) from error
        if result.returncode == _REJECTED:
            raise ArtifactError(result.stdout.decode())
        if result.returncode:
            raise ArtifactError(
                f"loading crashes, or takes more than {self.memory_bytes // _MIB} MiB of memory or "
                f"{self.seconds:g} s of CPU time"
            )


def _name(bundle: Bundle, backend: GraphFormat) -> str:
    return f"trial-{bundle.digest}-{backend}"


def main(arguments: list[str]) -> int:
    """Load a bundle; print the reason if it is rejected."""
    store, name, version, backend, seconds, memory_bytes = arguments
    runtime = open_runtime(cast("GraphFormat", backend), 1)
    _limit(float(seconds), int(memory_bytes))
    try:
        load_model(open_bundle(Path(store), name, int(version)), runtime)
    except LatentdError as error:
        print(error, end="")  # noqa: T201 - for the process that started this one
        return _REJECTED
    return 0


def _limit(seconds: float, memory_bytes: int) -> None:
    """Limit the CPU time, and the memory beyond what the process has now."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
        data = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (data + memory_bytes,) * 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
