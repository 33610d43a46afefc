"""Try to load a bundle in a short-lived process before a process that serves loads it.

A graph may take minutes or gigabytes to load, and a library may crash on it. The process has limits
on time and memory; it is no sandbox against code.

usage: python -m service.inference.trial STORE NAME VERSION BACKEND SECONDS MEMORY_BYTES
"""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from service.artifact import Bundle, open_bundle
from service.artifact.manifest import GraphFormat
from service.errors import ArtifactError, LatentdError
from service.inference.model import load_model
from service.observability.metrics import FOLDER_VARIABLE
from service.runtimes import open_runtime

_REJECTED = 3
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """Loads bundles in other processes."""

    store: Path
    """Folder of the models store."""
    seconds: float
    """Timeout of a process."""
    memory_bytes: int
    """Memory that loading may take."""
    _passed: set[str] = field(default_factory=set)
    """Digests of the bundles that were loaded."""

    def check(self, bundle: Bundle, backend: GraphFormat) -> None:
        """Load a bundle in a new process, unless one of the workers has loaded the same before.

        Raises:
            ArtifactError: it cannot be loaded within the limits.
        """
        if bundle.digest in self._passed:
            return
        shared = os.environ.get(FOLDER_VARIABLE)
        if shared is None:
            self._run(bundle, backend)
        else:
            self._run_once(bundle, backend, Path(shared))
        self._passed.add(bundle.digest)

    def _run_once(self, bundle: Bundle, backend: GraphFormat, folder: Path) -> None:
        """Run the trial if no other worker has passed it; wait for one that is running."""
        import fcntl  # noqa: PLC0415 - not on Windows, where workers cannot share a socket either

        marker = folder / f"passed-{bundle.digest}-{backend}"
        with (folder / "trial.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not marker.exists():
                self._run(bundle, backend)
                marker.touch()

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
