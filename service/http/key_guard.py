"""Limits guesses at API keys by address."""

import time
from collections.abc import Sequence

from service.errors import AuthenticationError, RateLimitedError
from service.http.api_keys import Key, authorize, has_key
from service.http.request_context import RequestContext

_MAX_FAILURES = 10
_WINDOW_SECONDS = 60.0
_MAX_ADDRESSES = 4096


class KeyGuard:
    """Checks the API key of each request.

    After ten unknown keys within a minute, an address gets 429 for every further key, except for
    keys that were used before: their holders may share the address of a proxy.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        """Start without failures."""
        self._keys = keys
        self._used: set[str] = set()
        """Names of the keys that were used."""
        self._failures: dict[str, tuple[float, int]] = {}
        """By address: start of its window, on the clock of `time.monotonic`, and failures."""

    def check(self, context: RequestContext) -> None:
        """Check that a request may use its path.

        Raises:
            RateLimitedError: the address has sent too many unknown keys.
            AuthenticationError, ForbiddenError, MalformedInputError: see `authorize`.
        """
        try:
            authorize(context, self._keys)
        except AuthenticationError:
            if has_key(context):
                self._check_failures(context.address)
                self._count_failure(context.address)
            raise
        if context.key is not None and context.key not in self._used:
            self._check_failures(context.address)
            self._used.add(context.key)

    def _check_failures(self, address: str) -> None:
        start, count = self._failures.get(address, (0.0, 0))
        if count >= _MAX_FAILURES and time.monotonic() - start < _WINDOW_SECONDS:
            raise RateLimitedError(
                f"Too many unknown API keys from {address}; try again in {_WINDOW_SECONDS:g} s."
            )

    def _count_failure(self, address: str) -> None:
        now = time.monotonic()
        start, count = self._failures.pop(address, (now, 0))
        if now - start >= _WINDOW_SECONDS:
            start, count = now, 0
        if len(self._failures) >= _MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]  # the address that failed least recently
        self._failures[address] = (start, count + 1)
