"""Limits on one request, and the budget for the bodies of all requests."""

import pytest

from service.errors import LimitExceededError, OverloadedError
from service.http.limits import Limits
from service.http.memory import MemoryBudget

LIMITS = Limits(body_bytes=1000, images=10, pixels=100, samples=10, json_bytes=200, json_values=98)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"0," * 90 + b"0]",
        b'{"images":["' + b"A" * 180 + b'"]}',
        b"[" + b"[]," * 15 + b"[]]",
    ],
)
def test_json_within_the_limits_is_accepted(text: bytes) -> None:
    """A long string or a hundred numbers are within the limits."""
    LIMITS.check_json(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (b" " * 201, "json_bytes"),
        (b"[" + b"0," * 98 + b"0]", "json_values"),
        (b"[" + b"[]," * 25 + b"[]]", "json_values"),
        (b"[" + b"{}," * 25 + b"{}]", "json_values"),
        (b"[" * 26, "json_values"),
        (b'"' + b"\\n" * 99 + b'"', "json_values"),
    ],
)
def test_json_over_a_limit_is_rejected(text: bytes, limit: str) -> None:
    """JSON that is too long, or has too many values once parsed, is rejected by its limit."""
    with pytest.raises(LimitExceededError, match=f"LATENTD_MAX_{limit.upper()}"):
        LIMITS.check_json(text)


def test_error_names_the_setting_and_both_numbers() -> None:
    """The error states the requested number, the limit and its setting."""
    LIMITS.check("images", 10)
    with pytest.raises(LimitExceededError, match=r"11 images, at most 10 .*LATENTD_MAX_IMAGES"):
        LIMITS.check("images", 11)


def test_budget_accepts_bytes_up_to_its_size() -> None:
    """A reservation over the budget is rejected and does not count; a release makes room."""
    budget = MemoryBudget(100)
    budget.reserve(60)
    budget.reserve(40)

    for _ in range(3):
        with pytest.raises(OverloadedError, match=r"exceed 100 bytes .*LATENTD_MAX_PENDING_BYTES"):
            budget.reserve(1)
    budget.release(40)
    budget.reserve(40)
