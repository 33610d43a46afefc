"""The server around the application: sockets, signals, worker processes."""

import asyncio
import gc
import math
import os
import signal
import socket
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from service.server.connection import BoundedProtocol, Config, Patience
from service.settings import Settings

_CHECK_SECONDS = 0.1
_COLLECTED_AT = 20_000
"""Objects made and not yet let go, at which the collector looks through the young ones."""
_KILL_SECONDS = 5.0
"""How long past its time a worker may take to end."""
_START_SECONDS = 60
"""How long a worker may load models before the one that it should replace is kept instead."""
_STUCK_SECONDS = 1.0
"""After how long without a turn an event loop does not answer for its process any more."""
_REPLACED = signal.SIGUSR1
"""Tells a worker to end because another has taken its place: the service stays ready."""


def listen(
    settings: Settings, application: FastAPI | str, log_config: dict[str, Any] | None
) -> int:
    """Serve until told to stop; return the exit status.

    Args:
        settings: The settings.
        application: The application; with several workers, where each imports its factory from.
        log_config: Logging of worker processes, as `logging.config.dictConfig` takes it.
    """
    config = Config(
        application,
        Patience(settings.header_seconds, settings.body_seconds, settings.drain_seconds),
        factory=isinstance(application, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=log_config,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.body_seconds),
    )
    listener = config.bind_socket()
    if settings.workers == 1:
        Server(config).run([listener])
        return 0
    return Supervisor(config, [listener]).serve()


class Server(uvicorn.Server):
    """Drains when told to stop: not ready at once, answering for a while, then gone."""

    config: Config

    def __init__(self, config: Config, *, is_worker: bool = False) -> None:
        """Prepare.

        Args:
            config: The configuration.
            is_worker: Whether a supervisor is in charge, who ends a worker that must end at once.
        """
        super().__init__(config)
        self._drain_seconds = config.patience.drain_seconds
        self._is_worker = is_worker
        self._stop_at = math.inf
        self._turned = math.inf
        self._checker: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and to look after the connections."""
        await super().startup(sockets)
        _spare_collector()
        loop = asyncio.get_running_loop()
        if self._is_worker:
            loop.add_signal_handler(_REPLACED, self._stop)
        self._checker = loop.create_task(self._check_connections())

    def _stop(self) -> None:
        self.should_exit = True

    async def _check_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = loop.time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.check(now)

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether to stop."""
        self._turned = time.monotonic()
        if self._turned >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    @property
    def is_stuck(self) -> bool:
        """Whether its event loop should turn and does not; any thread may ask."""
        return not self.should_exit and time.monotonic() - self._turned > _STUCK_SECONDS

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """Take a signal: the first begins to drain, the next ends at once."""
        if self._stop_at == math.inf:
            self._stop_at = time.monotonic() + self._drain_seconds
            if not self.started:
                self.should_exit = True
            else:
                self.lifespan.state["lifecycle"].draining = True
        elif not self._is_worker:
            os._exit(128 + sig)  # the default handler would not end process 1 of a container

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening without leaving anybody who got through behind, and finish."""
        waiting = [waiter for listener in sockets or [] for waiter in _accept_all(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        for waiter in waiting:
            await loop.connect_accepted_socket(self._make_protocol, waiter)
        await super().shutdown(sockets)
        if self._checker is not None:
            self._checker.cancel()

    def _make_protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)


def _spare_collector() -> None:
    """Keep the garbage collector from looking again and again through what stays.

    Requests leave next to no cycles; at the usual threshold those in flight together would start
    it every few requests, through all that was loaded at the start.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AT, *gc.get_threshold()[1:])


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    """Return the connections that wait to be accepted; closing the listener would reset them."""
    waiting: list[socket.socket] = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # none is left, or the listener is closed
            return waiting
        connection.setblocking(False)
        waiting.append(connection)


class Worker(multiprocess.Process):
    """A process with a server, which a supervisor looks after."""

    config: Config

    @property
    def server(self) -> Server:
        """The server, made in the worker's own process."""
        if not isinstance(self._server, Server):
            self._server = Server(self.config, is_worker=True)
        return self._server

    def start(self) -> None:
        """Start the process and let go of its end of the pipe, or its death would not close it.

        The supervisor would wait its five seconds for an answer of a process that is gone.
        """
        super().start()
        self.child_conn.close()

    def pong(self) -> None:
        """Answer the supervisor, who waits some seconds: from a thread, and for the event loop."""
        self.child_conn.recv()
        while self.server.is_stuck:
            time.sleep(_CHECK_SECONDS)
        self.child_conn.send(self.server.started)

    def terminate(self) -> None:
        """End a worker whose place another has taken."""
        self.send(_REPLACED)

    def send(self, sig: signal.Signals) -> None:
        """Send a signal, if there is still somebody to take it."""
        if self.process.exitcode is None and self.process.pid is not None:
            os.kill(self.process.pid, sig)


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's supervisor, which replaces workers that die or hang, and all of them at SIGHUP."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        """Prepare to have workers listen on the sockets."""
        super().__init__(config, sockets)
        finishing = config.timeout_graceful_shutdown or 0
        self._seconds = config.patience.drain_seconds + finishing + _KILL_SECONDS
        # uvicorn has no other way to say what its workers are.
        multiprocess.Process = Worker  # type: ignore[misc]

    def serve(self) -> int:
        """Run the workers until told to stop; return the exit status."""
        self.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if failed else 0

    def restart_all(self) -> None:
        """Replace each worker by one that is ready, which takes longer than to answer a ping."""
        usual = self.config.timeout_worker_healthcheck
        self.config.timeout_worker_healthcheck = _START_SECONDS
        super().restart_all()
        self.config.timeout_worker_healthcheck = usual

    def terminate_all(self) -> None:
        """Have the workers drain. Only they listen now: nobody is left waiting for the parent."""
        for listener in self.sockets:
            listener.close()
        for process in self.processes:
            if isinstance(process, Worker):
                process.send(signal.SIGTERM)

    def join_all(self) -> None:
        """Wait for the workers; a second signal, or too long a time, ends them at once."""
        latest = time.monotonic() + self._seconds
        stopping = {signal.SIGINT, signal.SIGTERM}
        while any(process.process.is_alive() for process in self.processes):
            if stopping & set(self.signal_queue) or time.monotonic() > latest:
                for process in self.processes:
                    process.kill()
            time.sleep(_CHECK_SECONDS)
