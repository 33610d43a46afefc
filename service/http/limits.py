"""Bounds on one request."""

import sys
from dataclasses import dataclass, field

from service.errors import LimitExceededError
from service.http.memory import DecodingMemory
from service.inference.yielding import yield_to_loop

_WEIGHTS = {b",": 1, b"[": 4, b"{": 4, b":": 8, b"\\": 1}
"""Memory or time of what a mark stands for, in numbers: an element, an array, an object, a member
with its name, an escape. Marks within strings count too; base64 contains none of them."""
_PART_BYTES = 64 * 1024


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
    """Bytes of JSON."""
    json_values: int
    """Values in JSON; an array, an object or a member's name counts as several. One byte may take
    80 in memory."""

    image_formats: frozenset[str] = frozenset()
    """Accepted formats of image files other than PNG and JPEG."""
    decoding: DecodingMemory = field(default_factory=lambda: DecodingMemory(sys.maxsize))
    """Memory in which all requests decode images and JSON."""

    def check_json(self, text: bytes) -> None:
        """Raise LimitExceededError if JSON is too long, or would be too large once parsed."""
        self.check("json_bytes", len(text))
        values = 0
        for start in range(0, len(text), _PART_BYTES):
            for mark, weight in _WEIGHTS.items():
                values += weight * text.count(mark, start, start + _PART_BYTES)
            yield_to_loop()
        self.check("json_values", values)

    def check(self, limit: str, requested: int) -> None:
        """Raise LimitExceededError, naming the limit, if `requested` exceeds it."""
        allowed = getattr(self, limit)
        if requested > allowed:
            raise LimitExceededError(
                f"Request has {requested} {limit}, at most {allowed} are allowed "
                f"(setting LATENTD_MAX_{limit.upper()})."
            )
