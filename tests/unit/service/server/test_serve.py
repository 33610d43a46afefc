"""The server's processes: as their supervisor sees them, and as they serve."""

import gc

import httpx
from fastapi import FastAPI

from service.server.connection import Config, Timeouts
from service.server.workers import Worker
from tests.support.servers import TLS, run_server


class GoneProcess:
    """A process that ends as soon as it is started, and holds nothing open."""

    def start(self) -> None:
        """Start and end."""


def test_the_end_of_a_worker_is_seen_at_once() -> None:
    """Whoever asks a worker that is gone learns it from the closed pipe, without waiting."""
    worker = Worker(Config("service.app:create_app", Timeouts(), factory=True), [])
    worker.process = GoneProcess()

    worker.start()

    assert worker.parent_conn.poll(0)
    assert not worker.ping()


def test_requests_do_not_make_the_collector_look_through_what_stays() -> None:
    """What was there at the start is out of its sight, and it starts for many objects only."""
    usual = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700)
    there = len(gc.get_objects())
    try:
        with run_server(FastAPI()) as url:
            assert httpx.get(url, verify=TLS).status_code == 404
            assert gc.get_freeze_count() > there / 2
            assert gc.get_threshold()[0] > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
