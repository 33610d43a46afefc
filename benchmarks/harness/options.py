"""What a user may choose about a run, and which CPUs it has."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEAST_CPUS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """How long and with what to measure."""

    rounds: int = 3
    """How often everything that is compared has its turn."""
    seconds: float = 10.0
    """Of one measurement."""
    warm_seconds: float = 2.0
    """Before each."""
    peers: Path = Path("build/peers")
    """Where the peers' environments are, or are made."""
    remark: str = ""
    """What else ran on the machine."""

    def describe_rounds(self) -> str:
        """Return the protocol in words."""
        return (
            f"{self.rounds} alternating rounds of {self.seconds:g} s each, everything started "
            f"fresh in each round and warmed up for {self.warm_seconds:g} s."
        )


def find_cpus() -> tuple[int, int]:
    """Return the CPU of what is measured, and that of who sends.

    Raises:
        RuntimeError: there are not two.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < _LEAST_CPUS:
        raise RuntimeError("two CPUs are needed: one for what is measured, one for who sends")
    return cpus[0], cpus[1]


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Keep this thread, and what it starts, on a CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
