"""Addresses of clients."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_IPV6_PREFIX = 64


@lru_cache(4096)
def group_address(address: str) -> str:
    """Return what identifies the client at an address.

    One IPv6 client usually has a whole network of 2^64 addresses, and is identified by it.
    Anything else, such as an IPv4 address or the text of a proxy's header, identifies itself.
    """
    parsed = parse_address(address) if ":" in address else None
    if not isinstance(parsed, IPv6Address):
        return address if parsed is None else str(parsed)
    network = int(parsed) >> (128 - _IPV6_PREFIX) << (128 - _IPV6_PREFIX)
    return f"{IPv6Address(network)}/{_IPV6_PREFIX}"


def parse_address(address: str) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one if IPv6 maps it; None if the text is not an address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return parsed if mapped is None else mapped
