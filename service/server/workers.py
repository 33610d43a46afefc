"""Worker processes and the supervisor that replaces them when they end or hang."""

import contextlib
import os
import signal
import socket
import time
from functools import cached_property

from service.server.connection import Config
from service.server.draining_server import CHECK_SECONDS, REPLACED, Server
from service.server.uvicorn_internals import (
    STARTUP_FAILURE,
    Multiprocess,
    Process,
    set_worker_class,
)

_KILL_SECONDS = 5.0
"""Time from the end of the grace period to SIGKILL for a worker that is still running."""
_START_SECONDS = 60
"""Time for a worker to respond to its first ping, and for a replacement to load its models."""


class Worker(Process):
    """A worker process with its server; the supervisor pings it through a pipe."""

    config: Config
    _first_ping: float | None = None
    """When the first ping was sent, on the clock of `time.monotonic`."""
    _has_responded = False

    @cached_property
    def server(self) -> Server:
        """The server, which only the worker process creates."""
        return Server(self.config, is_worker=True)

    def start(self) -> None:
        """Start the process, and close its end of the pipe in the supervisor.

        Otherwise the end of the worker would not close the pipe, and a ping would take its whole
        timeout of five seconds.
        """
        super().start()
        self.child_conn.close()

    def is_alive(self, timeout: float = 5) -> bool:
        """Return whether the worker responds to a ping.

        Before the first response it imports the service, which takes many seconds on a busy
        machine: the timeout of a ping would kill one worker after the other.
        """
        if self._has_responded or not self.process.is_alive():
            return super().is_alive(timeout)
        with contextlib.suppress(OSError, EOFError):
            if self._first_ping is None:
                self._first_ping = time.monotonic()
                self.parent_conn.send(b"ping")
            if self.parent_conn.poll(0):
                self.parent_conn.recv()
                self._has_responded = True
            return self._has_responded or time.monotonic() - self._first_ping < _START_SECONDS
        return False

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run in the worker process: serve until stopped."""
        self.parent_conn.close()  # so that the end of the supervisor closes the pipe
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal signals the whole group
        _ = self.server  # before the thread that responds to pings reads it
        super().target(sockets)

    def always_pong(self) -> None:
        """Respond to pings from a thread; stop the worker when the supervisor has ended.

        The supervisor may be killed without a chance to stop its workers, and a worker that
        continues would hold the port.
        """
        try:
            super().always_pong()
        except (EOFError, OSError):
            if self.server.is_stuck:
                os._exit(1)
            self.server.stop()

    def pong(self) -> None:
        """Respond to one ping, but only while the event loop runs."""
        self.child_conn.recv()
        while self.server.is_stuck and not self.child_conn.poll(CHECK_SECONDS):
            pass
        self.child_conn.send(self.server.started)

    def terminate(self) -> None:
        """Stop a worker after its replacement is ready."""
        self.send(REPLACED)

    def send(self, sig: signal.Signals) -> None:
        """Send a signal if the process is running."""
        if self.process.exitcode is None and self.process.pid is not None:
            os.kill(self.process.pid, sig)


class Supervisor(Multiprocess):
    """Replaces workers that end or hang, and all workers at SIGHUP."""

    config: Config

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        set_worker_class(Worker)

    def serve(self) -> int:
        """Run the workers until a signal stops them; return the exit status."""
        self.run()
        has_failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if has_failed else 0

    def restart_all(self) -> None:
        """Replace each worker once its replacement is ready, which takes longer than a ping."""
        ping_seconds = self.config.timeout_worker_healthcheck
        self.config.timeout_worker_healthcheck = _START_SECONDS
        super().restart_all()
        self.config.timeout_worker_healthcheck = ping_seconds

    def terminate_all(self) -> None:
        """Make the workers drain; from now on only they hold the listening sockets."""
        for listener in self.sockets:
            listener.close()
        for process in self.processes:
            if isinstance(process, Worker):
                process.send(signal.SIGTERM)

    def join_all(self) -> None:
        """Wait for the workers; kill them at a second signal or after the grace period."""
        finish_seconds = self.config.timeout_graceful_shutdown or 0
        grace_seconds = self.config.timeouts.drain_seconds + finish_seconds + _KILL_SECONDS
        deadline = time.monotonic() + grace_seconds
        while any(process.process.is_alive() for process in self.processes):
            is_repeated = {signal.SIGINT, signal.SIGTERM} & set(self.signal_queue)
            if is_repeated or time.monotonic() > deadline:
                for process in self.processes:
                    process.kill()
            time.sleep(CHECK_SECONDS)
