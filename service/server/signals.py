"""The ends of a process that signals cause: during imports, and after the grace period.

This file imports no other part of the service, so that `latentd` can call it first.
"""

import logging
import math
import os
import signal
import threading

_log = logging.getLogger(__name__)


def exit_on_sigterm() -> None:
    """Exit immediately at SIGTERM, until the server installs its own handler.

    Linux ignores signals without a handler in process 1 of a container, and imports take a second.
    """
    signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def exit_after(seconds: float) -> None:
    """Exit with status 1 after some seconds, even if other threads are still running.

    A thread that holds the interpreter's lock would stop the timer as well: one second later the
    kernel ends the process.
    """
    timer = threading.Timer(seconds, _exit_late, [seconds])
    timer.daemon = True
    timer.start()
    signal.alarm(math.ceil(seconds) + 1)


def _exit_late(seconds: float) -> None:
    names = sorted(thread.name for thread in threading.enumerate() if not thread.daemon)
    _log.error("Exiting: work continues after the grace period of %g s, in %s", seconds, names)
    os._exit(1)
