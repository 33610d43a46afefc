"""Watch the models store while the service runs."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from service.inference.registry.registry import Registry

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def watching(registry: Registry, seconds: float) -> AsyncIterator[None]:
    """Refresh a registry every `seconds` while the context is open; 0 disables the watch.

    Each worker process watches the store independently. An error is logged and does not stop the
    watch.
    """
    if not seconds:
        yield
        return
    task = asyncio.create_task(_watch(registry, seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(registry: Registry, seconds: float) -> None:
    has_failed = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(registry.refresh)
            has_failed = False
        except Exception:  # noqa: BLE001 - any error must not stop the watch
            if not has_failed:  # one traceback for each period of failure, not one per refresh
                _log.exception("the models could not be refreshed from the store")
            has_failed = True
