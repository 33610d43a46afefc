"""Terminates runs of networks that take too long."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol

_MAX_CHECK_SECONDS = 0.5


class Terminable(Protocol):
    """A run that another thread can terminate, such as `onnxruntime.RunOptions`."""

    terminate: bool


class RunLimit:
    """A time limit for runs; one thread checks all of them. Used from several threads at once."""

    def __init__(self, seconds: float) -> None:
        """Start to check runs, if there is a limit.

        Args:
            seconds: Longest duration of a run; 0 for no limit.
        """
        self.seconds = seconds
        self._deadlines: dict[Terminable, float] = {}
        if seconds:
            threading.Thread(target=self._check, name="run-limit", daemon=True).start()

    @contextlib.contextmanager
    def watching(self, run: Terminable) -> Iterator[None]:
        """Set `run.terminate` if the block takes too long."""
        if self.seconds:
            self._deadlines[run] = time.monotonic() + self.seconds
        try:
            yield
        finally:
            self._deadlines.pop(run, None)

    def _check(self) -> None:
        while True:
            time.sleep(min(_MAX_CHECK_SECONDS, self.seconds / 4))
            now = time.monotonic()
            for run, deadline in list(self._deadlines.items()):
                if now >= deadline:
                    run.terminate = True
