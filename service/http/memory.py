"""Bounds on the memory of all requests together.

Bodies and responses share one budget, which rejects requests when it is exhausted. Images are
decoded within another one, for which threads wait: the image of a request is decoded only while
the request runs, so waiting requests need no memory for it.
"""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from service.errors import LimitExceededError, OverloadedError

SMALL_BYTES = 64 * 1024
"""A request that holds no more than this may use the whole budget."""
_LARGE_SHARE = 0.75
"""Share of the budget for requests that hold more."""
_WAITING_SECONDS = 2.0
"""Time after a rejection during which a client counts as waiting; `Retry-After` is one second."""
_MAX_WAITING = 256
UNCOUNTED_BYTES = 1024 * 1024
"""Decoding that takes less may run on the event loop, which must not wait."""


class MemoryBudget:
    """Bounds the bytes of bodies and responses, from arrival until the response is written.

    A quarter is reserved for small requests. Of the rest one client gets at most half while
    others wait. Used from one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing reserved."""
        self._max_bytes = max_bytes
        self._reserved = 0
        self._by_client: defaultdict[str, int] = defaultdict(int)
        self._waiting: dict[str, float] = {}
        """When each client was last rejected, on the clock of `time.monotonic`."""

    @property
    def reserved(self) -> int:
        """The reserved bytes."""
        return self._reserved

    def reserve(self, count: int, client: str = "", held: int = 0) -> None:
        """Reserve bytes for a request.

        Args:
            count: The bytes.
            client: Identifies its client.
            held: Bytes that the request has already reserved.

        Raises:
            OverloadedError: the budget, or the client's share of it, is exhausted.
        """
        limit = self._max_bytes
        is_large = held + count > SMALL_BYTES
        if is_large:
            limit = int(limit * _LARGE_SHARE)
        is_over_share = (
            is_large
            and self._by_client[client] + count > limit // 2
            and self._is_another_waiting(client)
        )
        if self._reserved + count > limit or is_over_share:
            self._note_waiting(client)
            raise OverloadedError(
                f"The requests in memory, or those of one client, exceed {limit} bytes "
                "(setting LATENTD_MAX_PENDING_BYTES)."
            )
        self._reserved += count
        self._by_client[client] += count

    def hold(self, count: int, client: str = "") -> None:
        """Reserve bytes that already exist, even over the limit."""
        self._reserved += count
        self._by_client[client] += count

    def release(self, count: int, client: str = "") -> None:
        """Release reserved bytes."""
        self._reserved -= count
        self._by_client[client] -= count
        if self._by_client[client] <= 0:
            del self._by_client[client]

    def _is_another_waiting(self, client: str) -> bool:
        since = time.monotonic() - _WAITING_SECONDS
        return any(at > since for other, at in self._waiting.items() if other != client)

    def _note_waiting(self, client: str) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.clear()
        self._waiting[client] = time.monotonic()


class DecodingMemory:
    """Bounds the memory in which images and JSON are decoded; threads wait for their part."""

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing held."""
        self._json = threading.Lock()
        self._max_bytes = self._free = max_bytes
        self._changed = threading.Condition()

    def check(self, count: int) -> None:
        """Raise LimitExceededError if an image needs more than the whole memory."""
        if count > self._max_bytes:
            raise LimitExceededError(
                f"Decoding an image takes {count} bytes of memory, at most {self._max_bytes} are "
                "available (setting LATENTD_MEMORY_BYTES)."
            )

    @contextlib.contextmanager
    def hold_json(self, count: int) -> Iterator[None]:
        """Hold bytes as `hold`, one thread at a time.

        Parsers of JSON hold the interpreter's lock: two threads would take as long as one, and
        delay the event loop twice.
        """
        is_long = count > UNCOUNTED_BYTES
        with self._json if is_long else contextlib.nullcontext(), self.hold(count):
            yield

    @contextlib.contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Hold bytes during a `with` block; wait until they are free.

        Blocks must not be nested.
        """
        if count <= UNCOUNTED_BYTES:
            yield
            return
        count = min(count, self._max_bytes)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()
