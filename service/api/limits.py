"""What one request may ask for."""

from dataclasses import dataclass

from fastapi import Request

from service.errors import LimitExceededError


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

    def check(self, limit: str, wanted: int) -> None:
        """Raise LimitExceededError, naming the limit, where `wanted` is over it."""
        allowed = getattr(self, limit)
        if wanted > allowed:
            raise LimitExceededError(
                f"{wanted} {limit} asked for; at most {allowed} are allowed "
                f"(setting LATENTD_MAX_{limit.upper()})"
            )


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the whole body, counting while it arrives.

    FastAPI's own `max_body_size` answers in plain text, without the limit's name.

    Raises:
        LimitExceededError: it is longer than the limit, or says that it will be.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        limits.check("body_bytes", int(declared))
    chunks: list[bytes] = []
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        limits.check("body_bytes", received)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
