"""One request: its head, read once, its id, its body, and the state of its response."""

import random
import re
import time
from collections.abc import Callable
from typing import NoReturn

from opentelemetry.context import Context
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.http.addresses import group_address
from service.http.limits import Limits
from service.http.memory import SMALL_BYTES, MemoryBudget
from service.http.starlette_internals import get_route_path

WAIT_UNTIL_WRITTEN = "wait_until_written"
"""Key of a request's state for a coroutine function of the server: it waits while the client reads
more slowly than the response is written."""
_MAX_LENGTH_DIGITS = 20
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
# Swagger UI and ReDoc write style elements, and ReDoc searches in a worker made from a blob.
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_POLICY = b"content-security-policy"
_DATA_HEADERS = (*_SECURITY_HEADERS, (_POLICY, _DATA_POLICY), (b"cache-control", b"no-store"))


_TINY_BYTES = 16 * 1024
"""Responses up to this length are not reserved; requests take as much memory anyway."""


class RequestContext:
    """A request and its response, as the request wrapper and the operations see them."""

    __slots__ = (
        "_budget",
        "_is_head",
        "_on_end",
        "_receive",
        "_response_bytes",
        "_send",
        "address",
        "bytes_out",
        "client",
        "declared_length",
        "headers",
        "is_ended",
        "key",
        "model",
        "path",
        "request_id",
        "reserved",
        "route",
        "routed_scope",
        "scope",
        "started",
        "status",
        "trace",
        "waiting_since",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        budget: MemoryBudget,
        on_end: Callable[["RequestContext"], None],
    ) -> None:
        """Read the head of a request.

        Args:
            scope: The ASGI scope of an HTTP request.
            receive: Receives the body.
            send: Sends the response.
            budget: Bounds the bytes of all bodies and responses in memory.
            on_end: Called once, before the last part of the response is sent.
        """
        self.started = self.waiting_since = time.perf_counter()
        self.scope = self.routed_scope = scope
        self._is_head = scope["method"] == "HEAD"
        if self._is_head:
            self.routed_scope = {**scope, "method": "GET"}
            """The scope that FastAPI routes: HEAD is GET without the body (RFC 9110, 9.3.2)."""
        self._receive = receive
        self._send = send
        self._budget = budget
        self._on_end = on_end
        self.reserved = self._response_bytes = 0
        """Bytes of its body and its response in the budget."""
        self.headers: dict[bytes, str] = {}
        """The headers by lower-case name; repeated ones joined by commas (RFC 9110, 5.3)."""
        for name, value in scope["headers"]:
            text = value.decode("latin-1")
            first = self.headers.get(name)
            self.headers[name] = text if first is None else f"{first}, {text}"
        self.request_id = choose_request_id(self.headers.get(b"x-request-id", ""))
        self.path = get_route_path(scope)
        self.route: tuple[str, str] | None = None
        """The name and the path pattern of its operation; FastAPI's routes are in the scope."""
        self.address = group_address((scope.get("client") or ("",))[0])
        """Address of the client, the network of an IPv6 client; empty if it is unknown."""
        self.client = self.address
        """Identifies the client: the name of its API key, or its address."""
        self.key: str | None = None
        """Name of its API key."""
        self.declared_length = parse_length(self.headers.get(b"content-length", ""))
        """The declared length of the body; None without a usable one."""
        self.trace: Context | None = None
        """Its trace, if it is traced."""
        self.model: str | None = None
        """The model that it ran on, `name@version`."""
        self.status: int | None = None
        """Status of the response; None before the response starts."""
        self.bytes_out: int | None = None
        self.is_ended = False

    async def receive(self) -> Message:
        """Receive the next part of the body and reserve its bytes.

        Raises:
            OverloadedError: the memory for all requests is exhausted.
        """
        message = await self._receive()
        if body := message.get("body"):
            self.reserve(len(body))
        return message

    def reserve(self, count: int) -> None:
        """Reserve memory until the response is written.

        Raises:
            OverloadedError: the memory for all requests is exhausted.
        """
        self._budget.reserve(count, self.client, self.reserved)
        self.reserved += count

    def reserve_response(self, count: int) -> None:
        """Reserve memory for a response of a predicted size, if it is not tiny; see `reserve`."""
        if count > _TINY_BYTES:
            self.reserve(count)
            self._response_bytes = count

    def release(self, count: int | None = None) -> None:
        """Release reserved bytes; by default all memory of the request and its response."""
        count = self.reserved if count is None else count
        if count:
            self._budget.release(count, self.client)
            self.reserved -= count

    async def read_body(self, limits: Limits, limit: str = "body_bytes") -> bytes:
        """Return the whole body.

        Args:
            limits: The bounds on one request.
            limit: The bound that counts.

        Raises:
            LimitExceededError: the body is longer, or declares that it will be.
            OverloadedError: the memory for all requests is exhausted.
            ClientDisconnect: the client has disconnected.
        """
        declared = self.declared_length
        if declared is not None:  # the server receives no more than that
            limits.check(limit, declared)
        chunks: list[bytes] = []
        received = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(chunk := message.get("body", b""))
            received += len(chunk)
            if declared is None:
                limits.check(limit, received)
            self.reserve(len(chunk))
            more = message.get("more_body", False)
        self.waiting_since = time.perf_counter()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def wait_for_disconnect(self) -> NoReturn:
        """Raise ClientDisconnect when the client disconnects; the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise ClientDisconnect

    async def send(self, message: Message) -> None:
        """Send a part of the response, with the headers that every response has.

        Return when the client has read most of a long part, whose memory counts until then.
        """
        if message["type"] == "http.response.start":
            self._add_headers(message)
        elif self._is_head:
            message = {**message, "body": b""}
        if message["type"] != "http.response.start" and not message.get("more_body", False):
            self.end()  # before it is sent: a client that has the response finds it counted
        size = len(message.get("body", b""))
        if size <= SMALL_BYTES:
            await self._send(message)
            return
        excess = max(0, size - self._response_bytes)
        self._budget.hold(excess, self.client)
        self.reserved += excess
        self._response_bytes += excess
        await self._send(message)
        if (wait := self.scope.get("state", {}).get(WAIT_UNTIL_WRITTEN)) is not None:
            await wait()

    def end(self) -> None:
        """Record the end of the request, once."""
        if not self.is_ended:
            self.is_ended = True
            self._on_end(self)

    def _add_headers(self, start: Message) -> None:
        self.status = start["status"]
        headers = start.setdefault("headers", [])
        names = dict(headers)
        if (length := names.get(b"content-length")) is not None:
            self.bytes_out = 0 if self._is_head else int(length)
        headers.append((b"x-request-id", self.request_id.encode()))
        content_type = names.get(b"content-type", b"")
        if content_type == b"application/json" and b"etag" not in names:
            headers += _DATA_HEADERS
            return
        headers += _SECURITY_HEADERS
        if _POLICY not in names:  # a page may set a stricter one
            is_page = content_type.startswith(b"text/html")
            headers.append((_POLICY, _PAGE_POLICY if is_page else _DATA_POLICY))
        if b"cache-control" not in names:
            # Static files have an ETag, everything else may be private.
            headers.append((b"cache-control", b"no-cache" if b"etag" in names else b"no-store"))


def parse_length(text: str) -> int | None:
    """Return a length given in a header; None if it is not decimal or over 20 digits long."""
    is_length = text.isascii() and text.isdecimal() and len(text) <= _MAX_LENGTH_DIGITS
    return int(text) if is_length else None


def choose_request_id(given: str) -> str:
    """Return the client's own id if it is well-formed, else a random one (not a secret)."""
    return given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
