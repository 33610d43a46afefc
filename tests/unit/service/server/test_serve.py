"""Worker processes and the garbage collection of a server."""

import gc

import httpx
import pytest
from fastapi import FastAPI

from service.server.connection import Config, Timeouts
from service.server.workers import Worker
from tests.support.servers import TLS, run_server


class EndedProcess:
    """A process that ends immediately, without open files."""

    def start(self) -> None:
        """Return immediately."""


def test_a_ping_fails_immediately_after_the_end_of_a_worker() -> None:
    """The end of a worker closes the pipe, so that a ping does not wait for its timeout."""
    worker = Worker(Config("service.app:create_app", Timeouts(), factory=True), [])
    worker.process = EndedProcess()

    worker.start()

    assert worker.parent_conn.poll(0)
    assert not worker.ping()


class StartingProcess(EndedProcess):
    """A process that has not responded yet."""

    def is_alive(self) -> bool:
        """Return True."""
        return True


def test_a_worker_that_imports_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has a minute until its first response to a ping; after it each ping counts."""
    worker = Worker(Config("service.app:create_app", Timeouts(), factory=True), [])
    worker.process = StartingProcess()

    assert [worker.is_alive(0) for _ in range(3)] == [True] * 3
    monkeypatch.setattr("service.server.workers._START_SECONDS", 0)
    assert not worker.is_alive(0)

    worker.child_conn.send(False)  # as `pong` before the start-up
    assert worker.is_alive(0)
    assert not worker.is_alive(0)
    assert worker.child_conn.recv() == b"ping"


def test_garbage_collection_skips_the_objects_of_startup() -> None:
    """Objects that exist at startup are frozen, and the collector starts rarely."""
    default = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700)
    count = len(gc.get_objects())
    try:
        with run_server(FastAPI()) as url:
            assert httpx.get(url, verify=TLS).status_code == 404
            assert gc.get_freeze_count() > count / 2
            assert gc.get_threshold()[0] > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*default)
