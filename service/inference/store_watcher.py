"""Looking at the models store again and again while the service runs."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from service.inference.registry import Registry

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def watching(registry: Registry, seconds: float) -> AsyncIterator[None]:
    """Refresh a registry every so many `seconds`, or never for 0, while the context lasts.

    Every worker watches for itself. Whatever goes wrong is logged, and it goes on.
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
    last = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(registry.refresh)
            last = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, the watch must go on
            if repr(error) != last:  # not the same traceback every second
                last = repr(error)
                _log.exception("the models store could not be looked at")
