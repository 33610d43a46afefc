"""Bounds on one request, and on the bodies of all requests together."""

from dataclasses import dataclass

from service.errors import LimitExceededError, OverloadedError

_CONTAINER_WEIGHT = 4
"""Memory of a JSON array or object, in numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request; each is the setting of the same name with the prefix `max_`."""

    body_bytes: int
    """Bytes of a body."""
    images: int
    """Images, or latents, in a request."""
    pixels: int
    """Pixels of all image files in a request together, before they are resized."""
    samples: int
    """Images that one request may generate."""
    json_bytes: int
    """Bytes of JSON: parsing blocks every other thread for about 10 ms per MB."""
    json_values: int
    """Values in JSON; an array or object counts as four. One byte may take 80 in memory."""

    def check_json(self, text: bytes) -> None:
        """Raise LimitExceededError if JSON is too long, or would be too large once parsed."""
        self.check("json_bytes", len(text))
        # Commas within strings count too; base64 does not contain any.
        values = text.count(b",") + _CONTAINER_WEIGHT * (text.count(b"[") + text.count(b"{"))
        self.check("json_values", values)

    def check(self, limit: str, requested: int) -> None:
        """Raise LimitExceededError, naming the limit, if `requested` exceeds it."""
        allowed = getattr(self, limit)
        if requested > allowed:
            raise LimitExceededError(
                f"Request has {requested} {limit}, at most {allowed} are allowed "
                f"(setting LATENTD_MAX_{limit.upper()})."
            )


class BodyBudget:
    """Bounds the bytes of all request bodies in memory, from arrival to the end of the response."""

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing reserved."""
        self._max_bytes = max_bytes
        self._reserved = 0

    def reserve(self, count: int) -> None:
        """Reserve bytes, or raise OverloadedError if the budget is exhausted."""
        if self._reserved + count > self._max_bytes:
            raise OverloadedError(
                f"Request bodies in memory exceed {self._max_bytes} bytes "
                "(setting LATENTD_MAX_PENDING_BYTES)."
            )
        self._reserved += count

    def release(self, count: int) -> None:
        """Release reserved bytes."""
        self._reserved -= count
