"""Maps errors to responses: RFC 9457 problem details, or the Open Inference Protocol's form."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import errors
from service.http.request_context import RequestContext
from service.observability.metrics import count_error

MEDIA_TYPE = "application/problem+json"
REJECTION = "rejection"
"""Key of a request's state under which the server stores the problem for which it cut it off."""
CONTEXT = "context"
"""Key of a request's state for its `RequestContext`."""

_MAX_VIOLATIONS = 16
_CLIENT_CLOSED_REQUEST = 499
_RETRY_SECONDS = "1"
_RATE_LIMIT_SECONDS = "60"
_OIP_PREFIX = "/v2"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The HTTP form of a class of errors."""

    status: HTTPStatus
    slug: str
    """Last part of the problem's type, and its label in the metrics."""
    title: str


_INTERNAL = ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")
_OUT_OF_MEMORY = ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "memory", "Out of memory")

PROBLEM_TYPES: dict[type[errors.LatentdError], ProblemType] = {
    errors.MalformedInputError: ProblemType(
        HTTPStatus.BAD_REQUEST, "malformed", "Malformed request"
    ),
    errors.InvalidInputError: ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Invalid value in the request"
    ),
    errors.LimitExceededError: ProblemType(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "limit", "Limit exceeded"
    ),
    errors.UnsupportedFormatError: ProblemType(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-format", "Unsupported input format"
    ),
    errors.NotAcceptableError: ProblemType(
        HTTPStatus.NOT_ACCEPTABLE, "unoffered-format", "No acceptable output format"
    ),
    errors.ModelNotFoundError: ProblemType(
        HTTPStatus.NOT_FOUND, "model-not-found", "Model not found"
    ),
    errors.UnsupportedOperationError: ProblemType(
        HTTPStatus.CONFLICT, "unavailable", "Not available for this model"
    ),
    errors.AuthenticationError: ProblemType(
        HTTPStatus.UNAUTHORIZED, "unauthenticated", "API key required"
    ),
    errors.ForbiddenError: ProblemType(HTTPStatus.FORBIDDEN, "forbidden", "Permission denied"),
    errors.OverloadedError: ProblemType(
        HTTPStatus.TOO_MANY_REQUESTS, "overloaded", "Too many pending requests"
    ),
    errors.RateLimitedError: ProblemType(
        HTTPStatus.TOO_MANY_REQUESTS, "rate-limited", "Too many failed attempts"
    ),
    errors.DeadlineExceededError: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "deadline", "Deadline exceeded"
    ),
    errors.NotReadyError: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "Service not ready"
    ),
    errors.LatentdError: _INTERNAL,
}


def find_problem_type(error: type[errors.LatentdError]) -> ProblemType:
    """Return the problem type of an error class or of its nearest ancestor that has one."""
    return next(PROBLEM_TYPES[base] for base in error.__mro__ if base in PROBLEM_TYPES)


def describe_status(status: HTTPStatus) -> ProblemType:
    """Return the problem type of an error that only has an HTTP status."""
    return ProblemType(status, status.phrase.lower().replace(" ", "-"), status.phrase)


def install_handlers(app: FastAPI) -> None:
    """Answer unknown paths and methods, which Starlette handles, like all other errors."""

    def handle(request: Request, error: Exception) -> Response:
        return make_error_response(request.scope["state"][CONTEXT], error)

    app.add_exception_handler(HTTPException, handle)


def to_violations(details: Sequence[ErrorDetails], depth: int | None = 1) -> list[errors.Violation]:
    """Convert pydantic's findings into violations with JSON pointers.

    Args:
        details: The findings.
        depth: Length of the pointers; None for the whole path. Below 1 the path of a parameter
            names the alternatives of its type.
    """
    return [
        errors.Violation(
            pointer := _to_pointer(detail["loc"][:depth]), f"{pointer[1:]}: {detail['msg']}"
        )
        for detail in details[:_MAX_VIOLATIONS]
    ]


def _to_pointer(location: Sequence[int | str]) -> str:
    """Return a JSON pointer (RFC 6901)."""
    names = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{name}" for name in names)


def make_error_response(context: RequestContext, error: Exception) -> Response:
    """Return the response to an error; log it if it is unexpected."""
    if isinstance(error, errors.LatentdError):
        problem = find_problem_type(type(error))
        if problem is not _INTERNAL:
            violations = error.violations if isinstance(error, errors.InvalidInputError) else ()
            return _make_response(context, problem, str(error), violations)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        detail = f"{context.scope['method']} {context.scope['path']}: {status.phrase}"
        response = _make_response(context, describe_status(status), detail)
        response.headers.update(error.headers or {})
        if response.headers.get("allow") == "GET":
            response.headers["allow"] = "GET, HEAD"
        return response
    if isinstance(error, ClientDisconnect):
        return _note_disconnect(context)
    return _make_failure(context, error)


def _note_disconnect(context: RequestContext) -> Response:
    """Count a request whose client has disconnected, or which the server answers itself."""
    rejection: ProblemType | None = context.scope["state"].get(REJECTION)
    count_error("client-closed-request" if rejection is None else rejection.slug)
    return Response(status_code=_CLIENT_CLOSED_REQUEST if rejection is None else rejection.status)


def _make_failure(context: RequestContext, error: Exception) -> Response:
    if isinstance(error, MemoryError):
        _log.error("request %s ran out of memory", context.request_id, exc_info=error)
        return _make_response(context, _OUT_OF_MEMORY, "Not enough memory for this request.")
    _log.error("request %s failed", context.request_id, exc_info=error)
    response = _make_response(context, _INTERNAL, "The request failed; the log has the cause.")
    response.headers["Connection"] = "close"
    return response


def _make_response(
    context: RequestContext,
    problem: ProblemType,
    detail: str,
    violations: Sequence[errors.Violation] = (),
) -> Response:
    count_error(problem.slug)
    write = write_oip_error if context.path.startswith(_OIP_PREFIX) else write_problem
    status, media_type, content = write(problem, detail, context.request_id, violations)
    response = Response(content, status, media_type=media_type)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="latentd"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        is_limited = problem is PROBLEM_TYPES[errors.RateLimitedError]
        response.headers["Retry-After"] = _RATE_LIMIT_SECONDS if is_limited else _RETRY_SECONDS
    return response


def write_problem(
    problem: ProblemType, detail: str, request_id: str, violations: Sequence[errors.Violation] = ()
) -> tuple[HTTPStatus, str, bytes]:
    """Return the status, media type and body of a response with problem details."""
    content: dict[str, object] = {
        "type": f"urn:latentd:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status.value,
        "detail": detail,
        "instance": f"urn:latentd:request:{request_id}",
    }
    if violations:
        content["errors"] = [{"pointer": v.pointer, "detail": v.detail} for v in violations]
    return problem.status, MEDIA_TYPE, orjson.dumps(content)


def write_oip_error(
    problem: ProblemType, detail: str, _request_id: str, _flaws: Sequence[errors.Violation] = ()
) -> tuple[HTTPStatus, str, bytes]:
    """Return the same in the Open Inference Protocol's form, which does not use 409 or 422."""
    is_undefined = problem.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT}
    status = HTTPStatus.BAD_REQUEST if is_undefined else problem.status
    return status, "application/json", orjson.dumps({"error": detail})
