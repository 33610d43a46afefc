"""One client's connection: how long and how large a request may be, and which HTTP it speaks.

uvicorn waits for ever for a head or a body, and takes a head of any size.
"""

import math
import re
import secrets
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.engine import Lifecycle
from service.http.access_log import log_rejection
from service.http.problems import (
    REJECTION,
    ProblemType,
    describe_status,
    write_oip_error,
    write_problem,
)

HEAD_BYTES = 32 * 1024
"""Bytes of a request's line and headers."""
URI_BYTES = 8 * 1024
"""Bytes of its path and query (RFC 9110, section 4.1, asks for at least 8000)."""

_LINGER_SECONDS = 2.0
"""How long a client may still send what nobody wants. Closing at once would reset the connection,
and a client that is busy sending would lose the answer (RFC 9112, section 9.6)."""
_FAREWELL_SECONDS = 0.5
"""How long a quiet connection is kept when the server stops: a request may be on its way."""
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the server waits for clients."""

    header_seconds: float = 10.0
    """For the whole head of a request, from the connection or its first byte."""
    body_seconds: float = 30.0
    """For the whole body, from the end of the head; and for an answer to be taken."""
    drain_seconds: float = 0.0
    """For which it answers on after the signal to stop."""


class Config(uvicorn.Config):
    """uvicorn's configuration, with what the connections need."""

    def __init__(self, application: Any, patience: Patience, **options: Any) -> None:  # noqa: ANN401 - as uvicorn
        """Add to uvicorn's options; WebSockets are not spoken."""
        super().__init__(application, http=BoundedProtocol, ws="none", **options)
        self.patience = patience


class RefusedError(Exception):
    """Stops the parser; the protocol has written down why."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds; the server calls `check` several times a second."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        """Prepare for a connection, as uvicorn does."""
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # it would show the query; the application has a log of its own
        self.url = b""
        self._patience = config.patience
        self._lifecycle: Lifecycle = app_state.get("lifecycle") or Lifecycle()
        self._began = self.loop.time()
        """When the head that is awaited began, or could begin."""
        self._deadline = self._began + config.patience.header_seconds
        self._write_deadline = math.inf
        self._in_head = True
        self._has_moved = False
        self._unfinished_bytes = 0
        self._fault: tuple[HTTPStatus, str] | None = None
        self._is_refused = False
        self._is_leaving = False

    def check(self, now: float) -> None:
        """Hang up on a client that takes too long; `now` is the event loop's time."""
        if self.transport.get_write_buffer_size() == 0:
            self._write_deadline = math.inf
        elif now >= self._write_deadline:
            self.transport.abort()
        else:
            self._write_deadline = min(self._write_deadline, now + self._patience.body_seconds)
        if now >= self._deadline:
            self._deadline = math.inf
            self._expire()

    def _expire(self) -> None:
        is_quiet = self._in_head and not self._unfinished_bytes
        is_answered = not self._in_head and self.cycle.response_complete
        if is_quiet or is_answered or self._is_refused:
            self.transport.close()
        else:
            part = "headers" if self._in_head else "body"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the {part} did not arrive in time")

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._is_refused:
            return
        if self._in_head and self._deadline == math.inf:  # a further request on the connection
            self._began = self.loop.time()
            self._deadline = self._began + self._patience.header_seconds
        self._has_moved = False
        self._feed(data)
        if not self._has_moved and self._in_head and not self._is_refused:
            # What the parser holds back shows in no callback.
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > HEAD_BYTES:
                self._refuse(*_name_excess(is_uri=not self.headers))

    def _feed(self, data: bytes) -> None:
        """Parse, as uvicorn does, but for its line in the log: a refusal has one of its own."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(*(self._fault or (HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1")))
        except httptools.HttpParserUpgrade:
            pass  # an offer that is passed over is no fault

    def on_headers_complete(self) -> None:
        """Start to answer a request that may be answered."""
        self._check_head()
        self._in_head = False
        self._has_moved = True
        self._unfinished_bytes = 0
        self._deadline = self.loop.time() + self._patience.body_seconds
        super().on_headers_complete()
        if self._is_leaving or self._lifecycle.draining:
            self.cycle.keep_alive = False  # the client's next connection may go elsewhere

    def _check_head(self) -> None:
        if len(self.url) > URI_BYTES:
            self._stop(*_name_excess(is_uri=True))
        if sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) > HEAD_BYTES:
            self._stop(*_name_excess(is_uri=False))
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            is_newer = version > "1.1"
            status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if is_newer else HTTPStatus.BAD_REQUEST
            self._stop(status, "HTTP/1.1 is spoken here")
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (version == "1.1" and not hosts):
            self._stop(HTTPStatus.BAD_REQUEST, "one Host header is wanted")
        if hosts and not _HOST.fullmatch(hosts[0]):
            self._stop(HTTPStatus.BAD_REQUEST, "the Host header holds no host")
        if self.parser.should_upgrade():
            self._check_upgrade()

    def _check_upgrade(self) -> None:
        """Refuse another protocol, but for the offer (`h2c`) that some clients make at first.

        The parser takes a body after such an offer for the other protocol's first bytes.
        """
        headers = dict(self.headers)
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        is_socket = headers.get(b"upgrade", b"").lower() == b"websocket"
        if has_body or is_socket or self.parser.get_method() == b"CONNECT":
            self._stop(HTTPStatus.UPGRADE_REQUIRED, "only HTTP/1.1 is spoken here, without upgrade")

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self.url, self.headers = b"", []  # what comes next may be no request at all
        self._in_head = True
        self._has_moved = True
        self._began = self.loop.time()
        self._deadline = math.inf

    def on_response_complete(self) -> None:
        """Wait for the next request, or not long for the rest of a body that nobody read."""
        super().on_response_complete()
        if not self._in_head:
            self._deadline = min(self._deadline, self.loop.time() + _LINGER_SECONDS)

    def shutdown(self) -> None:
        """Finish what was begun; what may be on its way has a moment to arrive."""
        self._is_leaving = True
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        else:
            self._deadline = min(self._deadline, self.loop.time() + _FAREWELL_SECONDS)

    def _stop(self, status: HTTPStatus, detail: str) -> None:
        """Stop the parser."""
        self._fault = (status, detail)
        raise RefusedError

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer an error where that is still possible, and read no more."""
        self._is_refused = True
        now = self.loop.time()
        self._deadline = now + _LINGER_SECONDS
        kind, cycle = describe_status(status), self.cycle
        if not self._in_head and cycle.response_complete:  # there is no second answer
            self.transport.write_eof()
        elif cycle is None or cycle.response_complete:
            self._answer(kind, detail, log_rejection(self._describe(), kind, now - self._began))
        elif self._in_head and not self.pipeline:  # an earlier request is being answered
            cycle.keep_alive = False
            self._deadline = math.inf
        else:
            cycle.scope["state"][REJECTION] = kind
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
            else:  # after the application, which has just been woken, has noted it
                self.loop.call_soon(self._answer_for, cycle.scope["state"], kind, detail)

    def _describe(self) -> dict[str, Any]:
        """Return what is known of a request whose head was not taken."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        method = self.parser.get_method().decode("latin-1") if path else "-"
        return {"type": "http", "method": method, "path": path, "headers": self.headers or []}

    def _answer_for(self, state: dict[str, Any], kind: ProblemType, detail: str) -> None:
        if not self.transport.is_closing():
            self._answer(kind, detail, state.get("request_id") or secrets.token_hex(16))

    def _answer(self, kind: ProblemType, detail: str, identifier: str) -> None:
        is_oip = self.url.startswith(b"/v2")
        self.transport.write(_write_refusal(kind, detail, identifier, is_oip=is_oip))
        self.transport.write_eof()


def _name_excess(*, is_uri: bool) -> tuple[HTTPStatus, str]:
    if is_uri:
        return HTTPStatus.REQUEST_URI_TOO_LONG, f"a path and query have at most {URI_BYTES} bytes"
    return (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"a request's line and headers have at most {HEAD_BYTES} bytes",
    )


def _write_refusal(kind: ProblemType, detail: str, identifier: str, *, is_oip: bool) -> bytes:
    """Return a whole answer, in the form that the application would give it."""
    write = write_oip_error if is_oip else write_problem
    status, media_type, content = write(kind, detail, identifier)
    upgrade = "Upgrade: HTTP/1.1\r\n" if status == HTTPStatus.UPGRADE_REQUIRED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{upgrade}Connection: close\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nX-Request-ID: {identifier}\r\n\r\n"
    )
    return head.encode("ascii") + content
