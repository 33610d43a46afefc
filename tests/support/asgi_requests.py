"""ASGI requests without a server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.types import Message

from service.http.limits import BodyBudget
from service.http.request_context import RequestContext


class FakeRequest:
    """The ASGI scope, `receive` and `send` of one request; records the response."""

    def __init__(
        self,
        path: str = "/v1/sample",
        *,
        method: str = "POST",
        query: bytes = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        chunks: Sequence[bytes] = (b"",),
    ) -> None:
        """Create a request whose body arrives in `chunks`; then the client disconnects."""
        items = headers.items() if isinstance(headers, Mapping) else headers
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [(name.lower().encode(), value.encode()) for name, value in items],
            "client": ("192.0.2.1", 1234),
            "state": {},
        }
        self.messages: list[Message] = []
        self._chunks = list(chunks)

    async def receive(self) -> Message:
        """Return the next part of the body."""
        if not self._chunks:
            return {"type": "http.disconnect"}
        chunk = self._chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}

    async def send(self, message: Message) -> None:
        """Record a part of the response."""
        self.messages.append(message)

    def make_context(
        self,
        budget: BodyBudget | None = None,
        on_end: Callable[[RequestContext], None] = lambda _: None,
    ) -> RequestContext:
        """Return the context of the request."""
        budget = budget or BodyBudget(1_000_000)
        return RequestContext(self.scope, self.receive, self.send, budget, on_end)

    @property
    def status(self) -> int:
        """The status of the response."""
        status: int = self.messages[0]["status"]
        return status

    @property
    def response_headers(self) -> dict[str, str]:
        """The headers of the response."""
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def content(self) -> bytes:
        """The body of the response."""
        return b"".join(message.get("body", b"") for message in self.messages)
