"""The supervisor replaces a worker whose event loop is blocked while other threads run."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import TLS, wait_until
from tests.support.service_process import ROOT, find_free_port


@pytest.fixture
def base() -> Iterator[str]:
    """The URL of a service of two workers whose event loops a request can block."""
    port = find_free_port()
    path = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.blocking_app", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | path)
    try:
        wait_until(lambda: len(list_pids(f"http://127.0.0.1:{port}")) == 2, timeout=30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def list_pids(base: str) -> set[int]:
    """Return the ids of the processes that respond."""
    pids = set()
    for _ in range(10):
        with contextlib.suppress(httpx.TransportError):
            pids.add(httpx.get(base, verify=TLS, timeout=1).json())
    return pids


def test_a_blocked_worker_is_replaced(base: str) -> None:
    """Within some seconds two workers respond again, without the blocked one."""
    before = list_pids(base)
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{base}/block", verify=TLS, timeout=1)
    (blocked,) = before - list_pids(base)
    start = time.monotonic()

    wait_until(lambda: len(list_pids(base) - {blocked}) == 2, timeout=20)

    assert not Path(f"/proc/{blocked}/fd").exists()
    assert time.monotonic() - start < 15
