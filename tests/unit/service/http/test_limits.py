"""Limits: what a request may ask for."""

import pytest

from service.errors import LimitExceededError
from service.http.limits import Limits

LIMITS = Limits(body_bytes=1000, images=10, pixels=100, samples=10, json_bytes=200, json_values=100)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"0," * 90 + b"0]",
        b'{"images":["' + b"A" * 180 + b'"]}',
        b"[" + b"[]," * 15 + b"[]]",
    ],
)
def test_json_within_the_limits_is_let_through(text: bytes) -> None:
    """Long strings and a hundred numbers are no burden."""
    LIMITS.check_json(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (b" " * 201, "json_bytes"),
        (b"[" + b"0," * 98 + b"0]", "json_values"),
        (b"[" + b"[]," * 25 + b"[]]", "json_values"),
        (b"[" + b"{}," * 25 + b"{}]", "json_values"),
        (b"[" * 26, "json_values"),
    ],
)
def test_json_that_would_grow_is_refused(text: bytes, limit: str) -> None:
    """What is long, or becomes many objects in memory, is refused with the limit's name."""
    with pytest.raises(LimitExceededError, match=f"LATENTD_MAX_{limit.upper()}"):
        LIMITS.check_json(text)
