"""Addresses of clients, and the limit on their connections."""

import resource

import pytest

from service.http.addresses import group_address
from service.server.connection_limit import ConnectionLimit, find_default_limit


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unknown:", "unknown:"),
    ],
)
def test_address_of_a_client(address: str, client: str) -> None:
    """IPv6 clients are identified by their network, others by their address or text."""
    assert group_address(address) == client


def test_addresses_of_one_network_share_a_limit() -> None:
    """An IPv6 client cannot avoid the limit with another address of its network."""
    limit = ConnectionLimit(1)

    assert limit.add("2001:db8::1")
    assert not limit.add("2001:db8::2")
    assert limit.add("2001:db8:0:1::1")
    limit.remove("2001:db8::1")
    assert limit.add("2001:db8::2")


def test_one_client_cannot_take_all_descriptors() -> None:
    """By default a client has fewer connections than the process may open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert 0 < find_default_limit() < soft
