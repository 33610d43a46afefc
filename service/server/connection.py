"""Timeouts and size limits of one client's connection.

uvicorn waits without a limit for a request, and accepts a head of any size.
"""

import logging
import math
import socket
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn

from service.api.engine import Lifecycle
from service.http.access_log import log_rejection
from service.http.problems import REJECTION, describe_status
from service.http.request_context import WAIT_UNTIL_WRITTEN
from service.server.connection_limit import ConnectionLimit
from service.server.rejections import find_request_id, write_rejection
from service.server.request_head import (
    HEAD_BYTES,
    RejectedError,
    check_head,
    find_framing,
    head_too_large,
    uri_too_long,
)
from service.server.uvicorn_internals import ConnectionProtocol, ServerState

MAX_ACCEPTED = 16
"""Connections that are accepted in one turn of the event loop, about 50 us each. asyncio accepts as
many as its listener's backlog, so the server gives it this number and then enlarges the backlog."""
_LINGER_SECONDS = 2.0
"""Time for a client to finish sending after it got its response. Closing at once would reset the
connection, and the client could lose the response (RFC 9112, section 9.6)."""
_IDLE_GRACE_SECONDS = 0.5
"""Time that an idle connection stays open when the server stops: a request may be in transit."""
_PROBE_SECONDS = 0.1
"""Time from a client's end of stream to the test whether it closed or half-closed."""
_RATE_SECONDS = 5.0
"""Interval in which a body has to advance."""
_MIN_BODY_RATE = 1024
"""Bytes per second of a body that arrives slowly, so that stalled uploads free their memory."""
_CHUNK_FRAMING_BYTES = 20
"""Length of a chunk's size in 16 hexadecimal digits and of two line ends."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that the server waits for clients."""

    header_seconds: float = 10.0
    """For the whole head of a request, from the start of the connection or its first byte."""
    body_seconds: float = 30.0
    """For the whole body, from the end of the head; and for a client to read a response."""
    drain_seconds: float = 0.0
    """For further requests after the signal to stop."""


class Config(uvicorn.Config):
    """uvicorn's configuration and the timeouts of connections."""

    def __init__(
        self,
        application: Any,  # noqa: ANN401 - as uvicorn
        timeouts: Timeouts,
        connection_limit: ConnectionLimit | None = None,
        **options: Any,  # noqa: ANN401 - as uvicorn
    ) -> None:
        """Configure connections with limits, and no WebSockets; `options` are uvicorn's."""
        super().__init__(
            application,
            http=BoundedProtocol,
            ws="none",
            access_log=False,
            backlog=MAX_ACCEPTED,
            **options,
        )
        self.timeouts = timeouts
        self.connection_limit = connection_limit or ConnectionLimit(math.inf)

    def configure_logging(self) -> None:
        """Configure uvicorn's loggers, without its access log, which would show queries.

        The option `access_log` only removes handlers that exist now, and other code may add some.
        """
        super().configure_logging()
        logging.getLogger("uvicorn.access").disabled = True


class BoundedProtocol(ConnectionProtocol):
    """uvicorn's protocol with limits; the server calls `check` ten times a second."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timeouts = config.timeouts
        self._connection_limit = config.connection_limit
        self._address: str | None = None
        """The address for which the connection counts."""
        self._lifecycle: Lifecycle = app_state.setdefault("lifecycle", Lifecycle())
        self._head_start = self.loop.time()
        self._deadline = self._head_start + config.timeouts.header_seconds
        self._write_deadline = math.inf
        self._rate_check_at = math.inf
        self._interval_bytes = 0
        """Bytes of a body since the last check of its rate."""
        self._probe_at = math.inf
        self._in_head = True
        self._overhead_bytes = 0
        """Bytes of an incomplete head, or of a body's chunk extensions and trailers."""
        self._ignored_upgrade_framing = b""
        self._error: RejectedError | None = None
        self._is_rejected = self._is_probed = False
        self._is_stopping = False

    # asyncio passes its transports; uvicorn narrows the type as well.
    def connection_made(self, transport: Any) -> None:  # noqa: ANN401
        """Start a connection, unless its client has too many; then respond with 429 and close."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._connection_limit.add(address):
            self._address = address
            return
        limit = self._connection_limit.max_per_client
        detail = (
            f"Expected at most {limit} open connections of one client "
            "(setting LATENTD_MAX_CLIENT_CONNECTIONS)."
        )
        self._reject(RejectedError(HTTPStatus.TOO_MANY_REQUESTS, detail))
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        if self._address is not None:
            self._connection_limit.remove(self._address)
        super().connection_lost(exc)

    def check(self, now: float) -> None:
        """Close the connection of a client that exceeds a timeout; `now` is the loop's time."""
        if self.transport.get_write_buffer_size() == 0:
            self._write_deadline = math.inf
        elif now >= self._write_deadline:
            self.transport.abort()
        else:
            self._write_deadline = min(self._write_deadline, now + self._timeouts.body_seconds)
        if now >= self._probe_at:
            self._probe()
        if now >= self._rate_check_at:
            self._check_rate(now)
        if now >= self._deadline:
            self._deadline = math.inf
            self._handle_timeout()

    def _check_rate(self, now: float) -> None:
        is_late = self._interval_bytes < _RATE_SECONDS * _MIN_BODY_RATE
        self._rate_check_at = now + _RATE_SECONDS
        self._interval_bytes = 0
        if is_late and self.is_responding and not self.is_reading_paused:
            detail = f"Expected at least {_MIN_BODY_RATE} bytes of the body per second."
            self._reject(RejectedError(HTTPStatus.REQUEST_TIMEOUT, detail))

    def _handle_timeout(self) -> None:
        is_idle = self._in_head and not self._overhead_bytes
        has_responded = not self._in_head and not self.is_responding
        if is_idle or has_responded or self._is_rejected:
            self.transport.close()
        else:
            part = "header" if self._in_head else "body"
            seconds = getattr(self._timeouts, f"{part}_seconds")
            detail = (
                f"Expected the whole {part} within {seconds:g} seconds "
                f"(setting LATENTD_{part.upper()}_SECONDS)."
            )
            self._reject(RejectedError(HTTPStatus.REQUEST_TIMEOUT, detail))

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client, within the limits on time and size."""
        if self._is_rejected:
            return
        if self._in_head and self._deadline == math.inf:  # a further request on the connection
            self._head_start = self.loop.time()
            self._deadline = self._head_start + self._timeouts.header_seconds
        self._overhead_bytes += len(data)
        self.stop_keep_alive_timer()
        self._parse(data)
        if self._overhead_bytes > HEAD_BYTES and not self._is_rejected:
            self._reject(self._describe_excess())

    def _parse(self, data: bytes) -> None:
        """Parse bytes; ignore an offer to upgrade and parse the rest as HTTP/1.1."""
        is_parsed = False
        while not is_parsed and not self._is_rejected:
            try:
                self.parser.feed_data(data)
                is_parsed = True
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                framing, self._ignored_upgrade_framing = self._ignored_upgrade_framing, b""
                self.restart_parser(b"POST / HTTP/1.1\r\n" + framing + b"\r\n" if framing else b"")
            except httptools.HttpParserError as error:
                detail = f"Expected a request in HTTP/1.1; the parser reports: {error}."
                self._reject(self._error or RejectedError(HTTPStatus.BAD_REQUEST, detail))

    def on_headers_complete(self) -> None:
        """Check the head of a request and start the application."""
        if not self._in_head:  # the parser restarts after an ignored upgrade
            return
        is_upgrade = self.parser.should_upgrade()
        try:
            version = self.parser.get_http_version()
            method = self.parser.get_method()
            check_head(method, self.url, version, self.headers, is_upgrade=is_upgrade)
        except RejectedError as error:
            self._error = error
            raise
        super().on_headers_complete()
        self.share_flow_control(WAIT_UNTIL_WRITTEN)
        self._in_head = False
        self._overhead_bytes = 0
        now = self.loop.time()
        self._deadline = now + self._timeouts.body_seconds
        self._rate_check_at = now + _RATE_SECONDS
        self._interval_bytes = 0
        if is_upgrade:
            self._ignored_upgrade_framing = find_framing(self.headers)
        self.headers = []  # trailers would join the headers of the request
        if self._is_stopping or self._lifecycle.draining:
            self.close_after_response()  # the client's next connection may reach another process

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self._interval_bytes += len(body)
        self._overhead_bytes = max(0, self._overhead_bytes - len(body) - _CHUNK_FRAMING_BYTES)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish a request, unless the parser mistakes its body for another protocol."""
        if self._ignored_upgrade_framing:
            return
        super().on_message_complete()
        self.url, self.headers = b"", []
        self._in_head = True
        self._overhead_bytes = 0
        self._head_start = self.loop.time()
        self._deadline = self._rate_check_at = math.inf

    def on_response_complete(self) -> None:
        """Wait for the next request, or for a short time for the rest of an unread body."""
        super().on_response_complete()
        if not self._in_head:
            self._deadline = min(self._deadline, self.loop.time() + _LINGER_SECONDS)

    # asyncio keeps the transport open for True; uvicorn's method returns None.
    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open for a client that half-closes it after its request."""
        if not self._in_head or not self.is_responding or self._is_rejected:
            return False
        self.close_after_response()
        self._probe_at = self.loop.time() + _PROBE_SECONDS
        return True

    def _probe(self) -> None:
        """Abort if the client closed the connection instead of half-closing it.

        Both look the same until the server writes: a closed socket replies with a reset. The
        probe is an interim response (RFC 9110, section 15.2), which clients have to ignore.
        """
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        elif self.can_send_interim_response and not self._is_probed:
            self._is_probed = True
            self.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")

    def shutdown(self) -> None:
        """Close after the pending response; leave an idle connection open for a moment."""
        self._is_stopping = True
        if self.is_responding:
            self.close_after_response()
        else:
            self._deadline = min(self._deadline, self.loop.time() + _IDLE_GRACE_SECONDS)

    def _describe_excess(self) -> RejectedError:
        if not self._in_head:
            detail = f"Expected chunk extensions and trailers of at most {HEAD_BYTES} bytes."
            return RejectedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        return head_too_large() if self.headers else uri_too_long()

    def _reject(self, error: RejectedError) -> None:
        """Respond with an error where the protocol still permits it, and ignore further bytes."""
        self._is_rejected = True
        self._rate_check_at = math.inf
        now = self.loop.time()
        self._deadline = now + _LINGER_SECONDS
        problem = describe_status(error.status)
        if not self.is_responding and self._in_head:
            request_id = log_rejection(self._describe(), problem, now - self._head_start)
            self._respond(error, request_id)
        elif not self.is_responding:  # the response was sent before the end of the body
            self.transport.write_eof()
        elif self._in_head:  # an earlier request waits for its response
            self.close_after_response()
            self._deadline = math.inf
        elif (state := self.cancel_request(REJECTION, problem)) is not None:
            # After the application, which wakes up now, has logged the request.
            self.loop.call_soon(self._respond_after_log, error, state)
        else:
            self.transport.close()

    def _describe(self) -> dict[str, Any]:
        """Return the known parts of a request whose head is incomplete or rejected."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        method = self.parser.get_method().decode("latin-1") if path else "-"
        return {"type": "http", "method": method, "path": path, "headers": self.headers or []}

    def _respond_after_log(self, error: RejectedError, state: dict[str, Any]) -> None:
        if not self.transport.is_closing():
            self._respond(error, find_request_id(state))

    def _respond(self, error: RejectedError, request_id: str) -> None:
        is_oip = self.url.startswith(b"/v2")
        self.transport.write(write_rejection(error, request_id, is_oip=is_oip))
        self.transport.write_eof()
