"""Guesses at API keys are limited by address."""

import pytest

from service.errors import AuthenticationError, RateLimitedError
from service.http import key_guard
from service.http.api_keys import INFER, make_key
from service.http.key_guard import KeyGuard
from tests.support.asgi_requests import FakeRequest

TEXT, KEY = make_key("ci", frozenset({INFER}))


def check(guard: KeyGuard, text: str | None = None, address: str = "192.0.2.1") -> None:
    """Check a request with a key from an address."""
    request = FakeRequest(headers={} if text is None else {"X-API-Key": text})
    request.scope["client"] = (address, 1)
    guard.check(request.make_context())


def guess(guard: KeyGuard, times: int, address: str = "192.0.2.1") -> None:
    """Send unknown keys that get 401."""
    for _ in range(times):
        with pytest.raises(AuthenticationError):
            check(guard, "latentd_guess", address)


def test_eleventh_guess_is_rate_limited() -> None:
    """After ten unknown keys further ones get 429, even the right one."""
    guard = KeyGuard([KEY])
    guess(guard, 10)

    for text in ("latentd_guess", TEXT):
        with pytest.raises(RateLimitedError, match=r"192\.0\.2\.1"):
            check(guard, text)
    check(guard, TEXT, "192.0.2.2")


def test_keys_in_use_are_not_affected() -> None:
    """A client behind the same proxy keeps its access."""
    guard = KeyGuard([KEY])
    check(guard, TEXT)
    guess(guard, 10)

    check(guard, TEXT)


def test_requests_without_a_key_are_no_guesses() -> None:
    """A browser without a key gets 401 each time."""
    guard = KeyGuard([KEY])
    for _ in range(20):
        with pytest.raises(AuthenticationError):
            check(guard)
    check(guard, TEXT)


def test_guesses_are_possible_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of failures ends."""
    guard = KeyGuard([KEY])
    guess(guard, 10)
    monkeypatch.setattr(key_guard, "_WINDOW_SECONDS", 0.0)

    check(guard, TEXT)


def test_memory_is_constant() -> None:
    """At most 4,096 addresses are remembered."""
    guard = KeyGuard([KEY])
    for number in range(5000):
        guess(guard, 1, f"192.0.{number // 256}.{number % 256}")

    assert len(guard._failures) == 4096
