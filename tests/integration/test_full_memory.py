"""Two workers whose shared memory, `/dev/shm`, is full."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.support.service_process import Service, find_workers, start

MOUNT = 'mount -t tmpfs -o size=32m tmpfs /dev/shm && exec "$@"'
PREFIX = ["unshare", "--mount", "sh", "-c", MOUNT, "sh"]


def can_mount() -> bool:
    """Return whether this process may mount a file system in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*PREFIX, "true"], check=False, capture_output=True).returncode == 0


def fill(service: Service) -> None:
    """Write to the shared memory of a service until it is full."""
    file = Path(f"/proc/{service.process.pid}/root/dev/shm/filled")
    with file.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(bytes(4096))
    assert shutil.disk_usage(file.parent).free == 0


@pytest.mark.skipif(not can_mount(), reason="needs the permission to mount a file system")
def test_workers_serve_with_full_shared_memory() -> None:
    """All requests are served, also by a worker that starts while the memory is full."""
    with start(subprocess.PIPE, "--workers=2", prefix=PREFIX) as service:
        fill(service)
        before = find_workers(service)
        os.kill(before[0], signal.SIGKILL)
        fill(service)
        wait_until(lambda: len(set(find_workers(service)) - {before[0]}) == 2, timeout=30)
        wait_until(service.is_ready, timeout=30)

        statuses = {service.classify() for _ in range(40)}
        metrics = {service.get("/metrics").status_code for _ in range(10)}
        service.stop()
        log = service.read_log()

    assert statuses == {200}
    assert metrics == {200}
    assert "Traceback" not in log
