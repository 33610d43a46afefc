"""The supervisor's view of a worker process."""

from types import SimpleNamespace

import pytest
from fastapi import FastAPI

from service.server import workers
from service.server.connection import Config, Timeouts
from service.server.workers import Worker


@pytest.fixture
def worker() -> Worker:
    """A worker whose process runs and never responds."""
    made = Worker(Config(FastAPI(), Timeouts(), log_config=None), [])
    made.process = SimpleNamespace(is_alive=lambda: True)  # type: ignore[assignment]
    return made


def test_a_worker_may_import_for_longer_than_a_ping(worker: Worker) -> None:
    """A process that has not reached its target is alive although it does not respond."""
    assert worker.is_alive(timeout=0.01)


def test_a_worker_that_started_must_respond(worker: Worker) -> None:
    """From its target on a process that does not respond in time is hung."""
    worker._has_started.set()
    assert not worker.is_alive(timeout=0.01)


def test_a_worker_that_never_starts_is_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for a start a process must respond."""
    monkeypatch.setattr(workers, "_START_SECONDS", -1)
    made = Worker(Config(FastAPI(), Timeouts(), log_config=None), [])
    made.process = SimpleNamespace(is_alive=lambda: True)  # type: ignore[assignment]
    assert not made.is_alive(timeout=0.01)


def test_a_process_that_ended_is_not_alive(worker: Worker) -> None:
    """A process that ended during its imports is replaced at once."""
    worker.process = SimpleNamespace(is_alive=lambda: False)  # type: ignore[assignment]
    assert not worker.is_alive(timeout=0.01)
