"""The CSRF guard: requests that a foreign page makes a browser send."""

import asyncio
from collections.abc import Sequence

import pytest
from fastapi import Request

from service.errors import ForbiddenError
from service.http.csrf import CsrfGuard
from tests.support.asgi_requests import FakeRequest


def is_allowed(
    origins: Sequence[str] = (), *, has_keys: bool = False, **headers: str | None
) -> bool:
    """Return whether a guard accepts a request with these headers."""
    given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    guard = CsrfGuard(origins, has_keys=has_keys)
    try:
        asyncio.run(guard(Request(FakeRequest(headers=given).scope)))
    except ForbiddenError:
        return False
    return True


def test_clients_that_are_not_browsers_are_allowed() -> None:
    """A request without the headers of a browser is allowed."""
    assert is_allowed(host="127.0.0.1:8000")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_own_pages_are_allowed(host: str, scheme: str) -> None:
    """A page of the service itself is allowed, also behind a proxy that adds TLS."""
    assert is_allowed(host=host, origin=f"{scheme}://{host}", sec_fetch_site="same-origin")


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://evil.example", None),
        ("https://evil.example", "cross-site"),
        ("null", "cross-site"),
        (None, "cross-site"),
        (None, "same-site"),
        ("http://127.0.0.1:9000", "same-site"),
        ("http://127.0.0.1:9000", None),
        ("http://localhost:8000", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("has_keys", [False, True])
def test_foreign_pages_are_rejected(origin: str | None, site: str | None, has_keys: bool) -> None:
    """A page of another origin, also of another port, is rejected."""
    headers = {"host": "127.0.0.1:8000", "origin": origin, "sec_fetch_site": site}

    assert not is_allowed(has_keys=has_keys, **headers)


@pytest.mark.parametrize("has_keys", [False, True])
def test_names_are_trusted_only_with_keys(has_keys: bool) -> None:
    """Without keys a page under a DNS name is rejected, since it may point at this machine."""
    name = "latentd.example:8000"

    assert is_allowed(has_keys=has_keys, host=name, origin=f"http://{name}") == has_keys


@pytest.mark.parametrize("origins", [["https://a.example"], ["*"]])
def test_configured_origins_are_allowed(origins: list[str]) -> None:
    """Pages of the origins in the setting are allowed; "*" allows all."""
    headers = {"host": "127.0.0.1", "sec_fetch_site": "cross-site"}

    assert is_allowed(origins, origin="https://a.example", **headers)
    assert is_allowed(origins, origin="https://b.example", **headers) == (origins == ["*"])
