"""Requests at a steady rate, each repeated once if it fails, as behind a balancer with a retry."""

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.harness.http_load import OK, Request
from benchmarks.harness.servers import HOST

_TIMEOUT = 20.0
_RETRY_SECONDS = 0.2


@dataclass(slots=True)
class Outcomes:
    """The outcomes of all requests so far."""

    sent: int = 0
    retried: int = 0
    lost: int = 0
    """Failed after one repetition."""
    seconds: list[float] = field(default_factory=list)
    """Duration of each request with its repetition."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, *, retried: bool, lost: bool) -> None:
        """Count one request."""
        with self._lock:
            self.sent += 1
            self.retried += retried
            self.lost += lost
            self.seconds.append(seconds)


@contextmanager
def sending(port: int, request: Request, rate: float, threads: int = 32) -> Iterator[Outcomes]:
    """Send `rate` requests per second, each over a new connection, while the context is open."""
    outcomes, stopped = Outcomes(), threading.Event()

    def send_all() -> None:
        with ThreadPoolExecutor(threads) as pool:
            due = time.monotonic()
            while not stopped.wait(max(0.0, due - time.monotonic())):
                pool.submit(_send, port, request, outcomes)
                due += 1 / rate

    sender = threading.Thread(target=send_all)
    sender.start()
    try:
        yield outcomes
    finally:
        stopped.set()
        sender.join()


def _send(port: int, request: Request, outcomes: Outcomes) -> None:
    started = time.perf_counter()
    is_first = _succeeds(port, request)
    is_lost = False
    if not is_first:
        time.sleep(_RETRY_SECONDS)
        is_lost = not _succeeds(port, request)
    outcomes.add(time.perf_counter() - started, retried=not is_first, lost=is_lost)


def _succeeds(port: int, request: Request) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
    try:
        headers = {"Content-Type": request.content_type}
        connection.request("POST", request.path, request.body, headers)
        return connection.getresponse().status == OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
