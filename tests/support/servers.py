"""A real server on a free port, in a thread."""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import httpx
from fastapi import FastAPI

from service.app import build_registry, create_app
from service.artifact.specs import GraphFormat
from service.runtimes import Runtime
from service.server.connection import Config, Timeouts
from service.server.connection_limit import ConnectionLimit
from service.server.draining_server import Server
from service.settings import Settings
from tests.support.fakes import open_fake_backend

DEFAULT_TIMEOUTS = Timeouts()
TLS = ssl.create_default_context()
"""Plain HTTP does not use it, but each client without it would load the certificates again."""


@contextlib.contextmanager
def run_server(
    app: FastAPI, timeouts: Timeouts = DEFAULT_TIMEOUTS, limit: ConnectionLimit | None = None
) -> Iterator[str]:
    """Serve an application on the loopback interface; yield its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(app, timeouts, limit, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def connect(base: str, *, timeout: float = 10) -> socket.socket:
    """Open a connection to a server."""
    host, _, port = base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def count_files() -> int:
    """Return the number of open files and sockets of this process, which runs the server."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only their number


def exchange(base: str, sent: bytes, *, timeout: float = 5) -> bytes:
    """Send raw bytes to a server; return the response, or all bytes until the server closes."""
    received = b""
    with (
        connect(base, timeout=timeout) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(sent)
        while not _is_complete(received) and (chunk := connection.recv(65_536)):
            received += chunk
    return received


def _is_complete(response: bytes) -> bool:
    head, separator, body = response.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(separator) and len(body) >= int(length or 0)


@contextlib.contextmanager
def run_service(
    settings: Settings, open_backend: Callable[[GraphFormat, int], Runtime] = open_fake_backend
) -> Iterator[httpx.Client]:
    """Serve a store with a fake backend; yield a client that does not follow redirects."""
    registry = build_registry(settings, open_backend)
    registry.load()
    with (
        run_server(create_app(settings, registry)) as base,
        httpx.Client(base_url=base, verify=TLS, timeout=10) as client,
    ):
        yield client


def wait_until(condition: Callable[[], object], *, timeout: float = 5) -> None:
    """Wait until a condition holds that another thread or process establishes."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Expected the condition to hold within {timeout:g} seconds.")
        time.sleep(0.005)
