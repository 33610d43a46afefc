"""A client with too many connections is rejected; others, and trusted proxies, are not."""

import contextlib
import socket

import httpx
import pytest
from fastapi import FastAPI

from service.server.connection_limit import ConnectionLimit
from tests.support.servers import TLS, connect, run_server, wait_until

LIMIT = 4
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def send_from(url: str, address: str) -> bytes:
    """Send a request from a local address; return the start of the response."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5, (address, 0)) as connection:
        connection.sendall(REQUEST)
        return connection.recv(4096)


def test_client_with_too_many_connections_is_rejected() -> None:
    """One more connection gets 429 with the setting; when one closes, a new one is served."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(run_server(FastAPI(), limit=ConnectionLimit(LIMIT)))
        connections = [stack.enter_context(connect(url)) for _ in range(LIMIT)]
        with connect(url) as excess:
            rejected = excess.recv(4096)
        other = send_from(url, "127.0.0.2")
        connections[0].close()

        def is_served() -> bool:
            return httpx.get(url, verify=TLS).status_code == 404

        wait_until(is_served)

    assert rejected.startswith(b"HTTP/1.1 429 ")
    assert b"at most 4 open connections" in rejected
    assert b"LATENTD_MAX_CLIENT_CONNECTIONS" in rejected
    assert other.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("proxies", [["*"], ["127.0.0.0/8"], ["::1", "127.0.0.1"]])
def test_proxies_are_not_limited(proxies: list[str]) -> None:
    """Connections of a trusted proxy belong to many clients, and are all served."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(run_server(FastAPI(), limit=ConnectionLimit(LIMIT, proxies)))
        for _ in range(2 * LIMIT):
            connection = stack.enter_context(connect(url))
            connection.sendall(REQUEST)
            assert connection.recv(4096).startswith(b"HTTP/1.1 404 ")
