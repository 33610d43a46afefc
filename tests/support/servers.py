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
from service.artifact.manifest import GraphFormat
from service.runtimes import Runtime
from service.server.connection import Config, Patience
from service.server.serve import Server
from service.settings import Settings
from tests.support.fakes import open_fake_backend

PATIENCE = Patience()
TLS = ssl.create_default_context()
"""Not used over plain HTTP, but every client would load the certificates anew."""


@contextlib.contextmanager
def run_server(app: FastAPI, patience: Patience = PATIENCE) -> Iterator[str]:
    """Serve an application on the loopback; give its base URL once it answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(app, patience, log_config=None, access_log=False))
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
    """Return how many files and sockets this process, in which the server runs, has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough


def exchange(base: str, sent: bytes, *, timeout: float = 5) -> bytes:
    """Send raw bytes to a server and return what it answers, until it closes or says no more."""
    received = b""
    with (
        connect(base, timeout=timeout) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(sent)
        while not _is_whole(received) and (chunk := connection.recv(65_536)):
            received += chunk
    return received


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(separator) and len(body) >= int(length or 0)


@contextlib.contextmanager
def run_service(
    settings: Settings, open_backend: Callable[[GraphFormat, int], Runtime] = open_fake_backend
) -> Iterator[httpx.Client]:
    """Serve a store with a fake backend; give a client that follows no redirects."""
    registry = build_registry(settings, open_backend)
    registry.load()
    with (
        run_server(create_app(settings, registry)) as base,
        httpx.Client(base_url=base, verify=TLS, timeout=10) as client,
    ):
        yield client


def wait_until(condition: Callable[[], object], *, timeout: float = 5) -> None:
    """Wait for something that another thread does soon."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.005)
