"""What is noted of every request: an id, a line in the log, a count and a duration."""

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import Kind
from service.observability import metrics
from service.observability.logs import ACCESS_LOGGER
from service.observability.tracing import current_trace_id

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_MOST_PATH = 256
_MESSAGE = "%s %s %d %.1fms id=%s"
_MOST_DIGITS = 18
_log = logging.getLogger(ACCESS_LOGGER)


class RequestLog:
    """Gives every request one id, in its answer and in one line of the log, and counts it."""

    def __init__(self, app: ASGIApp, *, traced: bool = False) -> None:
        """Wrap an application; `traced` adds the trace's id to the line."""
        self._app = app
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note = _Note(scope, traced=self._traced)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.mark(message)
            elif not message.get("more_body", False):
                # Before it leaves: who has the answer finds it counted.
                note.close()
            await send(message)

        metrics.IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            note.close()
            metrics.IN_FLIGHT.dec()


def note_refusal(scope: Scope, kind: Kind, seconds: float) -> str:
    """Note a request that was refused before the application saw it; return its id.

    Args:
        scope: What is known of it: `method`, `path` and `headers`.
        kind: What it is answered with.
        seconds: How long it took.
    """
    note = _Note(scope, traced=False)
    note.start -= seconds
    note.status = kind.status
    metrics.count_error(kind.slug)
    note.close()
    return note.identifier


class _AccessRecord(logging.LogRecord):
    """A request's record. Most of what records hold is the same in all of these: it is copied."""

    _SAME = vars(logging.LogRecord(ACCESS_LOGGER, logging.INFO, __file__, 0, _MESSAGE, (), None))

    def __init__(self, values: tuple[object, ...], fields: dict[str, object]) -> None:
        now = time.time()
        self.__dict__ = {
            **self._SAME,
            "created": now,
            "msecs": int(now % 1 * 1000),
            "args": values,
            "fields": fields,
        }


class _Note:
    """What is known of one request."""

    __slots__ = ("_length", "_open", "_scope", "_sizes", "_traced", "identifier", "start", "status")

    def __init__(self, scope: Scope, *, traced: bool) -> None:
        self.start = time.perf_counter()
        self._scope = scope
        self._traced = traced
        self._open = True
        self._length = given = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                self._length = value
            elif name == b"x-request-id":
                given = value
        self.identifier = given.decode() if _REQUEST_ID.fullmatch(given) else _make_id()
        scope.setdefault("state", {})["request_id"] = self.identifier
        self.status = 500
        self._sizes: dict[str, object] = {}

    def mark(self, start: Message) -> None:
        """Put the id into the head of the answer, and remember what the head tells."""
        self.status = start["status"]
        headers = start.setdefault("headers", [])
        is_marked = False
        for name, value in headers:
            if name == b"x-model":
                self._sizes["model"] = value.decode("latin-1")
            elif name == b"content-length":
                self._sizes["bytes_out"] = int(value)
            elif name == b"x-request-id":
                is_marked = True
        if not is_marked:
            headers.append((b"x-request-id", self.identifier.encode()))

    def close(self) -> None:
        """Count the request and write its line, once."""
        if not self._open:
            return
        self._open = False
        seconds = time.perf_counter() - self.start
        route = self._scope.get("route")
        operation = metrics.OTHER_OPERATION if route is None else route.name
        metrics.count_request(operation, self.status, seconds)
        if not _log.isEnabledFor(logging.INFO):
            return
        method = self._scope["method"]
        path = self._scope["path"][:_MOST_PATH]
        if not (path.isascii() and path.isprintable()) or "\\" in path:
            path = path.encode("unicode_escape").decode()
        fields: dict[str, object] = {
            "method": method,
            "path": path,
            "route": None if route is None else route.path_format,
            "status": self.status,
            "duration_ms": round(1000 * seconds, 3),
            "request_id": self.identifier,
            **self._sizes,
            **self._describe_rest(),
        }
        _log.handle(
            _AccessRecord((method, path, self.status, 1000 * seconds, self.identifier), fields)
        )

    def _describe_rest(self) -> dict[str, object]:
        """Return what else is known: who asked, with how many bytes, in which trace."""
        fields: dict[str, object] = {}
        if self._length.isdigit() and len(self._length) <= _MOST_DIGITS:
            fields["bytes_in"] = int(self._length)
        if (key := self._scope["state"].get("key")) is not None:
            fields["key"] = key
        if self._traced and (trace := current_trace_id()) is not None:
            fields["trace_id"] = trace
        return fields


def _make_id() -> str:
    """Return an id that no other request has. It is no secret, and is not drawn as one."""
    return f"{random.getrandbits(128):032x}"
