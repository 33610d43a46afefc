"""What one request may ask for."""

from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import LimitExceededError

_WEIGHT = 4
"""What a list or an object weighs in memory, in numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request; each is a setting of the same name with `max_` before it."""

    body_bytes: int
    """Bytes of a body."""
    images: int
    """Images, or latents, in a request."""
    pixels: int
    """Pixels of all image files in a request together, before they are resized."""
    samples: int
    """Images that one request may have generated."""
    json_bytes: int
    """Bytes of JSON: parsing stops every other thread for about 10 ms a MB."""
    json_values: int
    """Values in JSON; a list or an object counts as four. One byte may become 80 in memory."""

    def check_json(self, text: bytes) -> None:
        """Raise LimitExceededError where JSON is too long, or would be too large once parsed."""
        self.check("json_bytes", len(text))
        # Commas within strings count too; base64 has none.
        values = text.count(b",") + _WEIGHT * (text.count(b"[") + text.count(b"{"))
        self.check("json_values", values)

    def check(self, limit: str, wanted: int) -> None:
        """Raise LimitExceededError, naming the limit, where `wanted` is over it."""
        allowed = getattr(self, limit)
        if wanted > allowed:
            raise LimitExceededError(
                f"{wanted} {limit} asked for; at most {allowed} are allowed "
                f"(setting LATENTD_MAX_{limit.upper()})"
            )


async def read_body(
    request: Request, declared: str, limits: Limits, *, is_json: bool = False
) -> bytes:
    """Return the whole body, counting while it arrives.

    FastAPI's own `max_body_size` answers in plain text, without the limit's name.

    Args:
        request: The request.
        declared: Its `Content-Length`; empty where there is none.
        limits: What one request may hold.
        is_json: Whether the bound on JSON counts too.

    Raises:
        LimitExceededError: it is longer than the limit, or says that it will be.
        OverloadedError: all bodies together are (see `service.http.load_shedding`).
    """
    limit = "json_bytes" if is_json and limits.json_bytes < limits.body_bytes else "body_bytes"
    if declared.isdecimal():
        limits.check(limit, int(declared))
    chunks: list[bytes] = []
    received = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        received += len(chunks[-1])
        limits.check(limit, received)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
