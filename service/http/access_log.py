"""The access log: one line and one metric sample per request."""

import logging
import time
from typing import Any

from starlette.types import Scope

from service.http.problems import ProblemType
from service.http.request_context import RequestContext, choose_request_id, parse_length
from service.observability import metrics
from service.observability.logs import ACCESS_LOGGER
from service.observability.tracing import current_trace_id

_MAX_PATH_LENGTH = 256
_MESSAGE = "%s %s %d %.1fms id=%s"
_MESSAGE_FIELDS = ("method", "path", "status", "duration_ms", "request_id")
_log = logging.getLogger(ACCESS_LOGGER)


def log_request(context: RequestContext) -> None:
    """Count a request that has been answered and write its line."""
    seconds = time.perf_counter() - context.started
    status = 500 if context.status is None else context.status
    name, pattern = find_route(context)
    metrics.count_request(name, status, seconds)
    if not _log.isEnabledFor(logging.INFO):
        return
    fields = _describe(context.scope, context.request_id, pattern, status, seconds)
    if context.model is not None:
        fields["model"] = context.model
    if context.bytes_out is not None:
        fields["bytes_out"] = context.bytes_out
    _add_length(fields, context.headers.get(b"content-length", ""))
    if context.key is not None:
        fields["key"] = context.key
    if (trace_id := current_trace_id()) is not None:
        fields["trace_id"] = trace_id
    _write(fields)


def log_rejection(scope: Scope, problem: ProblemType, seconds: float) -> str:
    """Count and log a request that the server rejected before the application saw it.

    Args:
        scope: Its `method`, `path` and `headers`, as far as the server parsed them.
        problem: The error that it is answered with.
        seconds: Duration.

    Returns:
        The request's id.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    request_id = choose_request_id(headers.get(b"x-request-id", ""))
    metrics.count_error(problem.slug)
    metrics.count_request(metrics.OTHER_OPERATION, problem.status, seconds)
    if _log.isEnabledFor(logging.INFO):
        fields = _describe(scope, request_id, None, problem.status, seconds)
        _add_length(fields, headers.get(b"content-length", ""))
        _write(fields)
    return request_id


def find_route(context: RequestContext) -> tuple[str, str | None]:
    """Return the name and the path pattern of the operation or FastAPI route that answered."""
    if context.route is not None:
        return context.route
    route = context.routed_scope.get("route")
    return (metrics.OTHER_OPERATION, None) if route is None else (route.name, route.path_format)


def _describe(
    scope: Scope, request_id: str, pattern: str | None, status: int, seconds: float
) -> dict[str, Any]:
    path: str = scope["path"][:_MAX_PATH_LENGTH]
    if not (path.isascii() and path.isprintable()) or "\\" in path:
        path = path.encode("unicode_escape").decode()
    return {
        "method": scope["method"],
        "path": path,
        "route": pattern,
        "status": int(status),
        "duration_ms": round(1000 * seconds, 3),
        "request_id": request_id,
    }


def _add_length(fields: dict[str, Any], declared: str) -> None:
    if (length := parse_length(declared)) is not None:
        fields["bytes_in"] = length


def _write(fields: dict[str, Any]) -> None:
    values = tuple(fields[name] for name in _MESSAGE_FIELDS)
    # Not `_log.info`, which walks the stack to find its caller.
    record = logging.LogRecord(ACCESS_LOGGER, logging.INFO, __file__, 0, _MESSAGE, values, None)
    record.fields = fields
    _log.handle(record)
