"""The readiness of the service."""

from pathlib import Path

from service.api.engine import Engine
from service.http.limits import Limits
from service.inference.registry.registry import Registry
from service.inference.scheduler import Scheduler
from tests.support.fakes import FakeRuntime, write_bundle

LIMITS = Limits(body_bytes=1, images=1, pixels=1, samples=1, json_bytes=1, json_values=1)


def test_missing_has_the_reasons(tmp_path: Path) -> None:
    """A service is not ready before its models are loaded, and after the stop signal."""
    write_bundle(tmp_path, "full")
    registry = Registry(tmp_path, lambda _: FakeRuntime(), 2)
    scheduler = Scheduler(threads=1, max_queue=1)
    engine = Engine(registry, scheduler, LIMITS)

    before = engine.missing
    registry.load()
    loaded = engine.missing
    engine.lifecycle.draining = True

    assert before == ["every model: not loaded yet"]
    assert loaded == []
    assert engine.missing == ["this process: draining"]
    scheduler.close()
