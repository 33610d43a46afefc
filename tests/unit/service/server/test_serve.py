"""Worker processes and the garbage collection of a server."""

import gc

import httpx
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
