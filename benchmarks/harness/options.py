"""Options of a benchmark run, and CPU pinning."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MIN_CPUS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """Duration of a run and place of the peers."""

    rounds: int = 3
    """Number of alternating rounds."""
    seconds: float = 10.0
    """Duration of one measurement."""
    warm_up_seconds: float = 2.0
    """Duration of the warm-up before each measurement."""
    peers: Path = Path("build/peers")
    """Folder of the peers' virtual environments."""
    remark: str = ""
    """Other load on the machine."""

    def describe_rounds(self) -> str:
        """Return the protocol as a sentence."""
        return (
            f"{self.rounds} alternating rounds of {self.seconds:g} s each; every round starts "
            f"fresh processes and warms them up for {self.warm_up_seconds:g} s."
        )


def find_cpus() -> tuple[int, int]:
    """Return the CPU of the server and the CPU of the load generator.

    Raises:
        RuntimeError: Fewer than two CPUs are usable.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < _MIN_CPUS:
        raise RuntimeError(
            f"Expected {_MIN_CPUS} usable CPUs (server, load generator), got {len(cpus)}."
        )
    return cpus[0], cpus[1]


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Pin this thread, and the processes that it starts, to a CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
