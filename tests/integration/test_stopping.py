"""How a real process stops: it drains at the first signal, and it never outlives its limits."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import TLS, wait_until
from tests.support.service_process import (
    ROOT,
    Service,
    find_free_port,
    find_workers,
    make_command,
    start,
)

SLOW = {"json": {"count": 512, "encoding": "png"}}
"""Takes tenths of a second."""


@pytest.fixture(params=[1, 2], ids=["one", "two"])
def workers(request: pytest.FixtureRequest) -> int:
    """The number of workers."""
    return int(request.param)


@pytest.fixture
def service(workers: int) -> Iterator[Service]:
    """A service that drains for a second and a half."""
    with start(subprocess.PIPE, f"--workers={workers}", "--drain-seconds=1.5") as started:
        yield started


def read_readiness(service: Service) -> int:
    """Return the status of `/readyz`."""
    return service.get("/readyz").status_code


@contextlib.contextmanager
def slow_requests(service: Service) -> Iterator[list[int]]:
    """Yield a list of statuses, to which eight slow requests add theirs before the block ends."""
    statuses: list[int] = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pending = [
            pool.submit(httpx.post, f"{service.url}/v1/sample", timeout=20, verify=TLS, **SLOW)
            for _ in range(8)
        ]
        time.sleep(0.05)
        yield statuses
        statuses += [future.result().status_code for future in pending]


def find_blocked_signals(pid: int) -> int:
    """Return the bit mask of the signals for which a process has a handler."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigCgt:\t")[2].split()[0], 16)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_service_drains(service: Service, sig: signal.Signals) -> None:
    """After a signal it is not ready but serves requests for the drain time, and exits with 0."""
    service.process.send_signal(sig)
    signalled = time.monotonic()

    wait_until(lambda: read_readiness(service) == 503, timeout=1)
    ready = service.get("/readyz")
    others = [service.get(path).status_code for path in ("/v2/health/ready", "/v1/models")]
    log = service.read_log()

    assert ready.json()["status"] == "draining"
    assert ready.headers["Connection"] == "close"
    assert others == [503, 200]
    assert service.process.returncode == 0
    assert 1.4 < time.monotonic() - signalled < 5
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("workers", "sig"),
    [(1, signal.SIGTERM), (2, signal.SIGTERM), (1, signal.SIGHUP)],
    ids=["one", "two", "one-hangup"],
    indirect=["workers"],
)
def test_pending_requests_are_finished(service: Service, sig: signal.Signals) -> None:
    """Requests that start before the end of the drain time get their responses."""
    with slow_requests(service) as statuses:
        service.process.send_signal(sig)
    log = service.read_log()

    assert statuses == [200] * 8
    assert service.process.returncode == 0
    assert "Traceback" not in log


def test_a_signal_to_all_processes_is_one_signal(service: Service) -> None:
    """Ctrl-C and service managers signal each process of the group: the service still drains."""
    os.killpg(service.process.pid, signal.SIGINT)

    wait_until(lambda: read_readiness(service) == 503, timeout=1)
    log = service.read_log()

    assert service.process.returncode == 0
    assert "Traceback" not in log


def test_a_second_signal_ends_the_process(workers: int) -> None:
    """A second signal ends the process long before its drain time is over."""
    with start(subprocess.PIPE, f"--workers={workers}", "--drain-seconds=20") as service:
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: read_readiness(service) == 503, timeout=1)
        signalled = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=20)

    assert time.monotonic() - signalled < 5


@pytest.mark.parametrize("workers", [2], indirect=True)
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "group"])
def test_workers_are_replaced_without_a_gap(
    service: Service, send: Callable[[int, int], None]
) -> None:
    """SIGHUP replaces each worker; the service stays ready and loses no request."""
    replaced = set(find_workers(service))
    statuses = set()
    with slow_requests(service) as slow:
        send(service.process.pid, signal.SIGHUP)
        end = time.monotonic() + 30
        while replaced & set(find_workers(service)) and time.monotonic() < end:
            statuses.add(read_readiness(service))
            time.sleep(0.02)
    are_replaced = not replaced & set(find_workers(service))
    service.process.send_signal(signal.SIGTERM)
    service.read_log()

    assert are_replaced
    assert statuses == {200}
    assert slow == [200] * 8
    assert service.process.returncode == 0


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_workers_end_with_their_supervisor(service: Service) -> None:
    """After SIGKILL to the supervisor the workers exit, and the port is free for the next start."""
    children = find_workers(service)
    port = int(service.url.rpartition(":")[2])

    with slow_requests(service) as statuses:
        service.process.kill()
        wait_until(lambda: is_free(port), timeout=2)

    assert statuses == [200] * 8
    wait_until(lambda: not any(Path(f"/proc/{child}/fd").exists() for child in children))


def is_free(port: int) -> bool:
    """Return whether a process can listen on a port."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def test_sigterm_ends_the_imports() -> None:
    """The handler exists before the imports, so that SIGTERM ends process 1 of a container."""
    process = subprocess.Popen(make_command(find_free_port()), cwd=ROOT, stderr=subprocess.PIPE)
    wait_until(lambda: find_blocked_signals(process.pid) & 1 << signal.SIGTERM - 1)
    imported = Path(f"/proc/{process.pid}/maps").read_text()
    process.terminate()
    _, log = process.communicate(timeout=2)

    assert "onnxruntime" not in imported
    assert process.returncode == 128 + signal.SIGTERM
    assert log == b""


BLOCKED_THREAD = """
import logging, threading, time
from service.server.signals import exit_after
logging.basicConfig(level="ERROR")
threading.Thread(target=time.sleep, args=(60,), name="stuck").start()
exit_after(0.2)
"""
HELD_LOCK = """
import re
from service.server.signals import exit_after
exit_after(0.2)
re.match("(a+)+b", "a" * 60)  # holds the interpreter's lock for years
"""


NETWORK_RUN = """
import logging, threading
import numpy as np
from service.runtimes import open_runtime
from service.server.signals import exit_after
from tests.support.slow_graphs import SPEC, make_slow_graph
network = open_runtime("onnx", 1).load(make_slow_graph(), SPEC)
logging.basicConfig(level="ERROR")
threading.Thread(target=network.run, args=[np.zeros((1, 1), np.float32)], name="run").start()
exit_after(0.2)
"""


@pytest.mark.parametrize(
    ("code", "status", "log"),
    [
        (NETWORK_RUN, 1, "grace period of 0.2 s, in ['MainThread', 'run']"),
        (BLOCKED_THREAD, 1, "grace period of 0.2 s, in ['MainThread', 'stuck']"),
        (HELD_LOCK, -signal.SIGALRM, ""),
    ],
    ids=["run", "thread", "lock"],
)
def test_the_grace_period_ends_the_process(code: str, status: int, log: str) -> None:
    """The process exits after the grace period, whatever its threads do."""
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True
    )

    assert ended.returncode == status
    assert log in ended.stderr
    assert time.monotonic() - started < 30  # the threads take a minute at least


def test_a_port_in_use_is_one_line() -> None:
    """A start that cannot listen names the address and the settings in one line of the log."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = subprocess.run(
            make_command(port, "--log-format=text"),
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )

    assert ended.returncode == 3
    (line,) = [line for line in ended.stderr.splitlines() if "loaded" not in line]
    assert f"Cannot listen on 127.0.0.1:{port}" in line
    assert "LATENTD_PORT" in line
    assert "in use" in line
