"""A blocked event loop: a supervisor replaces the worker, and a stop signal still ends it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from service.server.connection import MAX_ACCEPTED
from tests.support.servers import TLS, wait_until
from tests.support.service_process import ROOT, find_free_port


@contextlib.contextmanager
def start(workers: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a service whose event loops a request can block; yield the process and the URL."""
    port = find_free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.support.blocking_app", str(port), str(workers)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(list_pids(base)) == workers, timeout=30)
        yield process, base
    finally:
        process.terminate()
        process.communicate(timeout=20)


def list_pids(base: str) -> set[int]:
    """Return the ids of the processes that respond."""
    pids = set()
    for _ in range(10):
        with contextlib.suppress(httpx.TransportError):
            pids.add(httpx.get(base, verify=TLS, timeout=1).json())
    return pids


def block(base: str) -> None:
    """Block the event loop of one worker."""
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{base}/block", verify=TLS, timeout=1)


def test_a_blocked_worker_is_replaced() -> None:
    """Within some seconds two workers respond again, without the blocked one."""
    with start(workers=2) as (_, base):
        before = list_pids(base)
        block(base)
        (blocked,) = before - list_pids(base)
        began = time.monotonic()

        wait_until(lambda: len(list_pids(base) - {blocked}) == 2, timeout=20)

        assert not Path(f"/proc/{blocked}/fd").exists()
        assert time.monotonic() - began < 15


def test_a_blocked_process_exits_after_the_grace_period() -> None:
    """SIGTERM ends a process whose event loop is blocked, with a line in the log."""
    with start(workers=1) as (process, base):
        block(base)
        process.terminate()
        _, log = process.communicate(timeout=6)

    assert process.returncode == 1
    assert "grace period" in log


def test_a_blocked_worker_ends_with_its_supervisor() -> None:
    """SIGKILL to the supervisor ends a worker whose event loop is blocked."""
    with start(workers=2) as (process, base):
        pids = list_pids(base)
        block(base)
        process.kill()

        wait_until(lambda: not any(Path(f"/proc/{pid}/fd").exists() for pid in pids), timeout=6)


def test_many_connections_wait_for_a_busy_server() -> None:
    """The backlog is larger than the number of connections that one turn of the loop accepts."""
    waiting = 10 * MAX_ACCEPTED
    with start(workers=1) as (process, base), contextlib.ExitStack() as stack:
        port = int(base.rpartition(":")[2])
        process.send_signal(signal.SIGSTOP)
        try:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                for _ in range(waiting)
            ]
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        finally:
            process.send_signal(signal.SIGCONT)

        assert all(client.recv(12) == b"HTTP/1.1 200" for client in clients)
