"""A worker whose event loop hangs while its threads live on is found out and replaced."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import TLS, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base() -> Iterator[str]:
    """The URL of a service of two workers that can be made to hang."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
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
    """Return the ids of the processes that answer."""
    found = set()
    for _ in range(10):
        with contextlib.suppress(httpx.TransportError):
            found.add(httpx.get(base, verify=TLS, timeout=1).json())
    return found


def test_a_worker_that_hangs_is_replaced(base: str) -> None:
    """Within some seconds two workers answer again, and the one that hung is none of them."""
    before = list_pids(base)
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{base}/block", verify=TLS, timeout=1)
    (hung,) = before - list_pids(base)
    told = time.monotonic()

    wait_until(lambda: len(list_pids(base) - {hung}) == 2, timeout=20)

    assert not Path(f"/proc/{hung}/fd").exists()
    assert time.monotonic() - told < 15
