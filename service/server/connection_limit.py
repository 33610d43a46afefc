"""A limit on the open connections of one client."""

import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_network

from service.http.addresses import group_address, parse_address

_SHARE = 0.75
"""Share of the files that a process may open for the connections of one client."""


class ConnectionLimit:
    """Counts the connections of each address. Used from one event loop.

    Proxies are not limited: their connections belong to many clients.
    """

    def __init__(self, max_per_client: float, proxies: Sequence[str] = ()) -> None:
        """Start without connections.

        Args:
            max_per_client: Maximum number of connections from one address.
            proxies: Addresses or networks that are not limited; "*" for all.
        """
        self.max_per_client = max_per_client
        self._is_unlimited = "*" in proxies
        self._proxies = [ip_network(proxy) for proxy in proxies if proxy != "*"]
        self._counts = Counter[str]()

    def add(self, address: str) -> bool:
        """Count a new connection and return True, unless the address has too many of them."""
        client = group_address(address)
        if self._counts[client] >= self.max_per_client and not self._is_proxy(address):
            return False
        self._counts[client] += 1
        return True

    def remove(self, address: str) -> None:
        """Forget a connection that has ended."""
        client = group_address(address)
        self._counts[client] -= 1
        if self._counts[client] <= 0:
            del self._counts[client]

    def _is_proxy(self, address: str) -> bool:
        parsed = parse_address(address)
        is_listed = parsed is not None and any(parsed in network for network in self._proxies)
        return self._is_unlimited or is_listed


def find_default_limit() -> float:
    """Return three quarters of the number of files that this process may open."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not on Windows

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return math.inf if soft == resource.RLIM_INFINITY else int(soft * _SHARE)
    return math.inf
