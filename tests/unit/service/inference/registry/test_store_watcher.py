"""The watch of the models store: it repeats, and no error stops it."""

import asyncio
import logging
from pathlib import Path

import pytest

from service.inference.registry.registry import Registry
from service.inference.registry.store_watcher import watching
from service.runtimes import open_runtime


class CountingRegistry(Registry):
    """A registry that counts its refreshes; the first three fail, each with another message."""

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__(Path(), lambda _: open_runtime("onnx", 1), 1)
        self.refreshes = 0

    def refresh(self) -> None:
        """Count a refresh, and fail three times."""
        self.refreshes += 1
        if self.refreshes < 4:
            raise RuntimeError(f"failure {self.refreshes}")


def watch(seconds: float) -> CountingRegistry:
    """Return a registry that was watched for a tenth of a second."""
    registry = CountingRegistry()

    async def run() -> None:
        async with watching(registry, seconds):
            await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
    return registry


def test_watch_continues_after_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A period of unexpected errors is logged once and does not stop the watch."""
    with caplog.at_level(logging.ERROR):
        registry = watch(0.005)

    assert registry.refreshes > 4
    assert len(caplog.records) == 1


def test_zero_seconds_disable_the_watch() -> None:
    """With 0 seconds the registry is never refreshed."""
    assert watch(0).refreshes == 0
