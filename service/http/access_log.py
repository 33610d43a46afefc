"""The access log: one line and one metric sample per request."""

import logging
import time
from typing import Any

from starlette.types import Scope

from service.http.problems import ProblemType
from service.http.request_context import RequestContext, choose_request_id
from service.observability import metrics
from service.observability.logs import ACCESS
from service.observability.tracing import find_trace

_MAX_PATH_LENGTH = 256
_MESSAGE = "%s %s %d %.1fms id=%s"
_MAX_LENGTH_DIGITS = 18
_log = logging.getLogger(ACCESS)


def log_request(context: RequestContext) -> None:
    """Count a request that has been answered and write its line."""
    seconds = time.perf_counter() - context.started
    status = 500 if context.status is None else context.status
    name, pattern = context.route or _find_route(context.scope)
    metrics.count_request(name, status, seconds)
    if _log.isEnabledFor(logging.INFO):
        optional: dict[str, object] = {
            "model": context.model,
            "bytes_out": context.bytes_out,
            "bytes_in": _parse_length(context.headers.get(b"content-length", b"")),
            "key": context.key,
            "trace_id": find_trace(),
        }
        _write(context.scope, context.request_id, pattern, status, seconds, optional)


def log_rejection(scope: Scope, problem: ProblemType, seconds: float) -> str:
    """Count and log a request that the server rejected before the application saw it.

    Args:
        scope: Its `method`, `path` and `headers`, as far as they are known.
        problem: The error that it is answered with.
        seconds: Duration.

    Returns:
        The request's id.
    """
    headers = dict(scope["headers"])
    request_id = choose_request_id(headers.get(b"x-request-id", b""))
    metrics.count_error(problem.slug)
    metrics.count_request(metrics.OTHER, problem.status, seconds)
    if _log.isEnabledFor(logging.INFO):
        optional = {"bytes_in": _parse_length(headers.get(b"content-length", b""))}
        _write(scope, request_id, None, problem.status, seconds, optional)
    return request_id


def _find_route(scope: Scope) -> tuple[str, str | None]:
    """Return the name and the path pattern of the FastAPI route that answered."""
    route = scope.get("route")
    return (metrics.OTHER, None) if route is None else (route.name, route.path_format)


def _write(
    scope: Scope,
    request_id: str,
    pattern: str | None,
    status: int,
    seconds: float,
    optional: dict[str, Any],
) -> None:
    method: str = scope["method"]
    path: str = scope["path"][:_MAX_PATH_LENGTH]
    if not (path.isascii() and path.isprintable()) or "\\" in path:
        path = path.encode("unicode_escape").decode()
    values = (method, path, status, 1000 * seconds, request_id)
    # Not `_log.info`, which walks the stack to find its caller.
    record = logging.LogRecord(ACCESS, logging.INFO, __file__, 0, _MESSAGE, values, None)
    record.fields = {
        "method": method,
        "path": path,
        "route": pattern,
        "status": status,
        "duration_ms": round(1000 * seconds, 3),
        "request_id": request_id,
        **{name: value for name, value in optional.items() if value is not None},
    }
    _log.handle(record)


def _parse_length(value: bytes) -> int | None:
    is_plain = value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS
    return int(value) if is_plain else None
