"""What may come in: bodies that fit into memory together, and work that has a place to wait."""

import time
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import OverloadedError
from service.http.problems import answer_error
from service.inference.admission import Admission

_TOO_MANY_REQUESTS = 429
_MEMORY_SECONDS = 1.0
"""How long a refusal stands for others like it; as long as clients are told to wait."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A request that was looked at, needed a place in the queue, and found none."""

    length: int
    """Bytes of its body."""
    route: Any
    """Where it was going, for the log and the counts."""
    at: float
    """Seconds on the clock of `time.monotonic`."""


class Door:
    """Refuses what would be refused anyway, before it costs time or memory.

    A refusal far inside, after routing and parsing, takes a tenth of the time of the work that it
    refuses: at ten times the capacity nothing would be left for work. So while the queue is full,
    a request to the same path with no shorter a body than one that was just refused is refused
    here. Short work is let in: it needs no place.
    """

    def __init__(self, app: ASGIApp, admission: Admission, most: int) -> None:
        """Wrap an application.

        Args:
            app: The application.
            admission: Where its work queues.
            most: Bytes that all bodies in hand may have together, from arrival to answer.
        """
        self._app = app
        self._admission = admission
        self._most = most
        self._held = 0
        self._refusals: dict[str, _Refusal] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
        elif self._admission.is_full:
            await self._squeeze(scope, receive, send)
        else:
            await self._let_in(scope, receive, send)

    async def _squeeze(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request while the queue is full, unless one like it was refused just now."""
        path, length = get_route_path(scope), _find_length(scope)
        refusal = self._refusals.get(path)
        now = time.monotonic()
        if refusal and length >= refusal.length and now - refusal.at < _MEMORY_SECONDS:
            scope["route"] = refusal.route
            answer = answer_error(Request(scope), self._admission.refuse())
            await answer(scope, receive, send)
            return

        async def send_and_learn(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._learn(message["status"], path, _Refusal(length, scope.get("route"), now))
            await send(message)

        await self._let_in(scope, receive, send_and_learn)

    def _learn(self, status: int, path: str, refusal: _Refusal) -> None:
        # Paths that are refused for want of a place are those of the API: they are few.
        if status == _TOO_MANY_REQUESTS:
            self._refusals[path] = refusal

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = 0

        async def receive_and_count() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if self._held + size > self._most:
                raise OverloadedError(  # to the application, which answers it
                    f"the bodies in hand are over {self._most} bytes "
                    "(setting LATENTD_MAX_PENDING_BYTES)"
                )
            held += size
            self._held += size
            return message

        try:
            await self._app(scope, receive_and_count, send)
        finally:
            self._held -= held


def _find_length(scope: Scope) -> int:
    """Return the length that a request's body is said to have; 0 where it is not said."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:18])
    return 0
