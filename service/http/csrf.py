"""Protection against cross-site request forgery (CSRF) for routes that load models."""

import re
from collections.abc import Sequence

from fastapi import Request

from service.errors import ForbiddenError

_ALL = "*"
_SAME_SITE = frozenset({"same-origin", "none"})
_ADDRESS = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?")


class CsrfGuard:
    """Rejects requests that a foreign page makes a browser send; a dependency of routes.

    A browser sends a plain POST to any address, including local ones, and only hides the response
    from the page. It names the page's origin in `Origin` and `Sec-Fetch-Site`; other clients send
    neither.
    """

    def __init__(self, origins: Sequence[str], *, has_keys: bool) -> None:
        """Create a guard.

        Args:
            origins: Origins whose pages are allowed; "*" for all.
            has_keys: Whether requests need a key, which foreign pages do not have.
        """
        self._origins = frozenset(origins)
        self._has_keys = has_keys

    async def __call__(self, request: Request) -> None:
        """Raise ForbiddenError for a request from a foreign page."""
        origin = request.headers.get("origin")
        if _ALL in self._origins or origin in self._origins:
            return
        is_cross_site = request.headers.get("sec-fetch-site", "none") not in _SAME_SITE
        if is_cross_site or (origin is not None and not self._is_same_origin(origin, request)):
            raise ForbiddenError(
                f"Pages of the origin {origin!r:.80} may not do this (LATENTD_CORS_ORIGINS)."
            )

    def _is_same_origin(self, origin: str, request: Request) -> bool:
        """Return whether an origin is the service's own, with or without TLS in front of it."""
        host = origin.partition("://")[2]
        # The owner of a DNS name may point it at this machine (DNS rebinding).
        is_trusted = self._has_keys or _ADDRESS.fullmatch(host) is not None
        return is_trusted and host == request.headers.get("host", "").lower()
