"""Load shedding: rejects a request early if an equal one was just rejected.

A rejection deep inside, after routing and parsing, takes a tenth of the time of the work that it
rejects: at ten times the capacity nothing would be left for work. While the queue is full, a
request to the same path and query with a body at least as long as that of a request just rejected
is therefore rejected at once. Short work is accepted: it does not need the queue.
"""

import time
from dataclasses import dataclass
from typing import TypeAlias

from service.http.request_context import RequestContext
from service.inference.scheduler import Scheduler

_MEMORY_SECONDS = 1.0
"""How long a rejection counts for later requests; the same as `Retry-After`."""
_MAX_REMEMBERED = 256
_Key: TypeAlias = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class _Rejection:
    length: int
    """Bytes of its body."""
    route: tuple[str, str] | None
    """Its operation, for the log and the metrics."""
    time: float
    """On the clock of `time.perf_counter`."""


class LoadShedder:
    """Remembers the requests that were rejected because the queue was full."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Watch a scheduler; nothing was rejected yet."""
        self._scheduler = scheduler
        self._rejections: dict[_Key, _Rejection] = {}

    def check(self, context: RequestContext) -> None:
        """Raise OverloadedError if the queue is full and an equal request was just rejected."""
        if not self._rejections or not self._scheduler.is_full:
            return
        rejection = self._rejections.get(_identify(context))
        if (
            rejection is not None
            and (context.declared_length or 0) >= rejection.length
            and context.started - rejection.time < _MEMORY_SECONDS
        ):
            context.route = rejection.route
            self._scheduler.check_capacity()

    def remember(self, context: RequestContext) -> None:
        """Remember a request that was rejected."""
        if not self._scheduler.is_full:
            return
        if len(self._rejections) >= _MAX_REMEMBERED:
            self._rejections.clear()
        length = context.declared_length or 0
        rejection = _Rejection(length, context.route, time.perf_counter())
        self._rejections[_identify(context)] = rejection


def _identify(context: RequestContext) -> _Key:
    return context.path, context.scope["query_string"]
