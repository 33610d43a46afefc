"""Which pages' requests are taken where a browser would send them without asking."""

import re
from collections.abc import Sequence

from fastapi import Request

from service.errors import ForbiddenError

_ALL = "*"
_OWN_SITES = frozenset({"same-origin", "none"})
_NO_NAME = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?")


class OriginGuard:
    """Refuses what a foreign page has a browser send; to be a dependency of routes.

    A browser sends a plain POST to any address, this machine's own too, and hides no more than
    the answer from the page. It says whose page that was, in `Origin` and `Sec-Fetch-Site`; other
    clients send neither.
    """

    def __init__(self, origins: Sequence[str], *, has_keys: bool) -> None:
        """Prepare.

        Args:
            origins: Origins whose pages are allowed; "*" for all.
            has_keys: Whether a key is needed, which foreign pages have not.
        """
        self._origins = frozenset(origins)
        self._has_keys = has_keys

    async def __call__(self, request: Request) -> None:
        """Let a request pass, or raise ForbiddenError."""
        origin = request.headers.get("origin")
        if _ALL in self._origins or origin in self._origins:
            return
        is_foreign = request.headers.get("sec-fetch-site", "none") not in _OWN_SITES
        if is_foreign or (origin is not None and not self._is_own(origin, request)):
            raise ForbiddenError("a page of another origin may not do that (LATENTD_CORS_ORIGINS)")

    def _is_own(self, origin: str, request: Request) -> bool:
        """Tell whether an origin is the service's own, with TLS in front of it or without."""
        host = origin.partition("://")[2]
        # A name is in the hands of whoever runs its DNS, who may point it here.
        is_sure = self._has_keys or _NO_NAME.fullmatch(host) is not None
        return is_sure and host == request.headers.get("host", "").lower()
