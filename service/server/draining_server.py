"""uvicorn's server, which drains before it stops: not ready, then finishing requests, then closed.

Timeouts of connections are checked here, and the health of the event loop is measured here.
"""

import asyncio
import gc
import math
import os
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn

from service.api.engine import Lifecycle
from service.server.connection import BoundedProtocol, Config
from service.server.signals import exit_after

CHECK_SECONDS = 0.1
"""Interval between checks of connections, and of processes."""
REPLACED = signal.SIGUSR1
"""Stops a worker whose replacement is ready; the service stays ready, so it does not drain."""

_BACKLOG = 2048
"""Connections that may wait for the server; see `connection.MAX_ACCEPTED`."""
_SWITCH_SECONDS = 0.001
"""Time after which the event loop may interrupt another thread; Python's default is 5 ms."""
_YOUNG_OBJECTS = 20_000
"""Threshold of the garbage collector for its youngest generation."""
_EXIT_SECONDS = 2.0
"""Time from the timeout of the last request to the forced exit."""
_STUCK_SECONDS = 1.0
"""Time without a tick of the event loop after which it counts as stuck."""


class Server(uvicorn.Server):
    """Drains at the first signal, and exits at the second one or after the grace period."""

    config: Config

    def __init__(self, config: Config, *, is_worker: bool = False) -> None:
        """Initialize; a supervisor decides when a worker exits without draining."""
        super().__init__(config)
        self._is_worker = is_worker
        self._drain_end = math.inf
        self._last_tick = math.inf
        self._checks: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and check the connections from now on."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(_BACKLOG)
        _tune_garbage_collector()
        sys.setswitchinterval(_SWITCH_SECONDS)
        loop = asyncio.get_running_loop()
        if self._is_worker:
            loop.add_signal_handler(REPLACED, self.stop)
        self._checks = loop.create_task(self._check_connections())

    async def _check_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = loop.time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.check(now)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; uvicorn calls this ten times a second."""
        self._last_tick = time.monotonic()
        if self._last_tick >= self._drain_end:
            self.should_exit = True
        return await super().on_tick(counter)

    @property
    def is_stuck(self) -> bool:
        """Whether the event loop is blocked; other threads may read this."""
        return not self.should_exit and time.monotonic() - self._last_tick > _STUCK_SECONDS

    def stop(self) -> None:
        """Stop without draining: finish the pending requests and exit; threads may call this."""
        self.should_exit = True
        self._exit_after(0.0)

    def _exit_after(self, drain_seconds: float) -> None:
        finish_seconds = self.config.timeout_graceful_shutdown or 0
        exit_after(drain_seconds + finish_seconds + _EXIT_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """Start to drain at the first signal; exit immediately at a second SIGINT or SIGTERM."""
        if self._drain_end == math.inf:
            drain_seconds = self.config.timeouts.drain_seconds
            self._drain_end = time.monotonic() + drain_seconds
            self._exit_after(drain_seconds)
            if not self.started:
                self.should_exit = True
            else:
                self.lifespan.state.setdefault("lifecycle", Lifecycle()).draining = True
        elif not self._is_worker and sig != signal.SIGHUP:  # a closed terminal may repeat it
            os._exit(128 + sig)  # the kernel ignores default actions in process 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the accept backlog, stop listening, and finish the pending requests."""
        backlog = [client for listener in sockets or [] for client in _accept_all(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        for client in backlog:
            await loop.connect_accepted_socket(self._make_protocol, client)
        await super().shutdown(sockets)
        if self._checks is not None:
            self._checks.cancel()

    def _make_protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)


def _tune_garbage_collector() -> None:
    """Exclude the objects that exist at startup from garbage collection, and collect rarely.

    Requests create few reference cycles. At the default threshold, concurrent requests start the
    collector every few requests, and each run visits all modules and models.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    """Return the connections of the backlog, which closing the listener would reset."""
    clients: list[socket.socket] = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the backlog is empty, or the listener is closed
            return clients
        client.setblocking(False)
        clients.append(client)
