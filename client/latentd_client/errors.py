"""The error that the client raises for a rejected request."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


class ServiceError(Exception):
    """The service, or a proxy in front of it, returned an error response.

    Attributes:
        status: The HTTP status.
        problem: The problem details (RFC 9457). With status 422, `errors` lists each invalid
            member with its JSON pointer.
        retry_after: Seconds to wait before a retry, or None if a retry does not help. The service
            sets it when it is overloaded (429) or unavailable (503).
    """

    def __init__(
        self, status: int, problem: dict[str, Any], retry_after: float | None = None
    ) -> None:
        """Keep the parts of the response."""
        super().__init__(status, problem, retry_after)
        self.status = status
        self.problem = problem
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return the status and the detail of the problem."""
        return f"HTTP {self.status}: {self.problem.get('detail', 'The response has no detail.')}"


def parse_retry_after(value: str) -> float | None:
    """Return a `Retry-After` header in seconds; it holds seconds or a date (RFC 9110, 10.2.3).

    Returns:
        Seconds from now, at least 0; None if the value is empty or invalid.
    """
    if value.isdecimal():
        return float(value)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None
    return max(0.0, seconds)
