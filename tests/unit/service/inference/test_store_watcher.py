"""Watching the store: again and again, whatever goes wrong, until the end."""

import asyncio
import logging
from pathlib import Path

import pytest

from service.inference.registry import Registry
from service.inference.store_watcher import watching
from service.runtimes import open_runtime


class CountingRegistry(Registry):
    """Counts how often it is refreshed; the first times fail."""

    def __init__(self) -> None:
        """Start at none."""
        super().__init__(Path(), lambda _: open_runtime("onnx", 1), 1)
        self.looks = 0

    def refresh(self) -> None:
        """Count; fail twice."""
        self.looks += 1
        if self.looks < 3:
            raise RuntimeError("a surprise")


def watch(seconds: float) -> CountingRegistry:
    """Return a registry that was watched for a tenth of a second."""
    registry = CountingRegistry()

    async def live() -> None:
        async with watching(registry, seconds):
            await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(live())
    return registry


def test_the_watch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged, once while it is the same, and ends nothing."""
    with caplog.at_level(logging.ERROR):
        registry = watch(0.005)

    assert registry.looks > 3
    assert len(caplog.records) == 1


def test_no_watch() -> None:
    """With 0 seconds nobody looks."""
    assert watch(0).looks == 0
