"""The rules for the head of a request."""

from http import HTTPStatus

import pytest

from service.server.request_head import (
    HEAD_BYTES,
    URI_BYTES,
    RejectedError,
    check_head,
    find_framing,
)

HOST = (b"host", b"x")


@pytest.mark.parametrize(
    ("status", "detail", "head"),
    [
        (414, "at most 8192 bytes", {"uri": b"/" * (URI_BYTES + 1)}),
        (431, "at most 32768 bytes", {"headers": [HOST, (b"a", b"a" * HEAD_BYTES)]}),
        (400, "Expected HTTP/1.1, got HTTP/0.9.", {"version": "0.9"}),
        (505, "Expected HTTP/1.1, got HTTP/2.0.", {"version": "2.0"}),
        (400, "Expected one Host header, got 0.", {"headers": []}),
        (400, "Expected one Host header, got 2.", {"headers": [HOST, HOST]}),
        (400, "got 'a/b'.", {"headers": [(b"host", b"a/b")]}),
        (
            501,
            "got 'gzip'.",
            {"headers": [HOST, (b"transfer-encoding", b"gzip")]},
        ),
        (426, "got CONNECT.", {"method": b"CONNECT", "is_upgrade": True}),
        (426, "WebSocket", {"headers": [HOST, (b"upgrade", b"WebSocket")], "is_upgrade": True}),
    ],
)
def test_rejected_heads(status: int, detail: str, head: dict[str, object]) -> None:
    """A head that breaks a rule has a status, and a sentence with the limit or the value."""
    parts = {"method": b"GET", "uri": b"/", "version": "1.1", "headers": [HOST]} | head
    with pytest.raises(RejectedError) as raised:
        check_head(**({"is_upgrade": False} | parts))

    assert raised.value.status == HTTPStatus(status)
    assert raised.value.detail.startswith("Expected ")
    assert detail in raised.value.detail


@pytest.mark.parametrize(
    "head",
    [
        {"uri": b"/" * URI_BYTES},
        {"version": "1.0", "headers": []},
        {"headers": [(b"host", b"[::1]:8000")]},
        {"headers": [HOST, (b"transfer-encoding", b" Chunked ")]},
        {"headers": [HOST, (b"upgrade", b"h2c")], "is_upgrade": True},
        {"headers": [HOST, (b"upgrade", b"websocket")]},
        {"headers": [HOST, (b"te", b"trailers, chunked")]},
    ],
)
def test_accepted_heads(head: dict[str, object]) -> None:
    """Old versions, ignored upgrades and IPv6 hosts are valid."""
    parts = {"method": b"GET", "uri": b"/", "version": "1.1", "headers": [HOST]} | head

    check_head(**({"is_upgrade": False} | parts))


def test_framing() -> None:
    """The lines that delimit a body are kept, and no other header."""
    assert find_framing([HOST, (b"content-length", b"5")]) == b"content-length: 5\r\n"
    assert find_framing([HOST]) == b""
