"""Rules for the head of a request: size, version, host, transfer coding and upgrade."""

import re
from collections.abc import Sequence
from http import HTTPStatus

HEAD_BYTES = 32 * 1024
"""Limit on the bytes of a request line and headers, and on those of a body's trailers."""
URI_BYTES = 8 * 1024
"""Limit on the bytes of a path and query; RFC 9110, section 4.1, recommends at least 8000."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")
_SHOWN_BYTES = 80

Headers = Sequence[tuple[bytes, bytes]]


class RejectedError(Exception):
    """A request that the server rejects before the application gets it."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Keep the status of the response, and the sentence that explains it."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


def uri_too_long() -> RejectedError:
    """Return the error for a path and query over the limit."""
    detail = f"Expected a path and query of at most {URI_BYTES} bytes."
    return RejectedError(HTTPStatus.REQUEST_URI_TOO_LONG, detail)


def head_too_large() -> RejectedError:
    """Return the error for a request line and headers over the limit."""
    detail = f"Expected a request line and headers of at most {HEAD_BYTES} bytes."
    return RejectedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)


def check_head(
    method: bytes, uri: bytes, version: str, headers: Headers, *, is_upgrade: bool
) -> None:
    """Check the head of a request.

    Args:
        method: The method.
        uri: The path and query.
        version: The version of HTTP, such as "1.1".
        headers: The headers, names in lower case.
        is_upgrade: Whether the parser reports CONNECT or an offer to change the protocol.

    Raises:
        RejectedError: the head breaks a rule or a limit.
    """
    size, hosts, codings = 0, [], []
    for name, value in headers:
        size += len(name) + len(value) + len(": \r\n")
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if len(uri) > URI_BYTES:
        raise uri_too_long()
    if size > HEAD_BYTES:
        raise head_too_large()
    if version not in {"1.0", "1.1"}:
        is_newer = version > "1.1"
        status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if is_newer else HTTPStatus.BAD_REQUEST
        raise RejectedError(status, f"Expected HTTP/1.1, got HTTP/{version}.")
    _check_host(hosts, version)
    if codings:
        _check_transfer_encoding(codings)
    if is_upgrade:
        _check_upgrade(method, headers)


def find_framing(headers: Headers) -> bytes:
    """Return the header lines that delimit the body; empty for a request without a body."""
    return b"".join(
        b"%b: %b\r\n" % header
        for header in headers
        if header[0] in {b"content-length", b"transfer-encoding"}
    )


def _check_host(hosts: list[bytes], version: str) -> None:
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        detail = f"Expected one Host header, got {len(hosts)}."
        raise RejectedError(HTTPStatus.BAD_REQUEST, detail)
    if hosts and not _HOST.fullmatch(hosts[0]):
        detail = f"Expected a host and optional port in the Host header, got {_show(hosts[0])}."
        raise RejectedError(HTTPStatus.BAD_REQUEST, detail)


def _check_transfer_encoding(codings: list[bytes]) -> None:
    """Reject codings other than `chunked`: the parser would pass on the encoded bytes."""
    if codings and _split_tokens(codings) != [b"chunked"]:
        detail = f"Expected Transfer-Encoding: chunked, got {_show(b', '.join(codings))}."
        raise RejectedError(HTTPStatus.NOT_IMPLEMENTED, detail)


def _check_upgrade(method: bytes, headers: Headers) -> None:
    """Reject CONNECT and WebSocket; other offers, such as `h2c`, are ignored (RFC 9110, 7.8)."""
    offers = _split_tokens([value for name, value in headers if name == b"upgrade"])
    if method == b"CONNECT" or b"websocket" in offers:
        got = "CONNECT" if method == b"CONNECT" else "an upgrade to WebSocket"
        raise RejectedError(HTTPStatus.UPGRADE_REQUIRED, f"Expected plain HTTP/1.1, got {got}.")


def _split_tokens(values: list[bytes]) -> list[bytes]:
    return [token.strip().lower() for value in values for token in value.split(b",")]


def _show(value: bytes) -> str:
    return repr(value[:_SHOWN_BYTES].decode("latin-1"))
