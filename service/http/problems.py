"""Errors to answers, in one place: RFC 9457 problem details."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import errors
from service.observability.metrics import count_error

MEDIA_TYPE = "application/problem+json"
REFUSAL = "refusal"
"""Where in a request's state the server puts the kind of the error by which it cut it off."""

_CLIENT_CLOSED_REQUEST = 499
_RETRY_SECONDS = "1"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class of errors is to a client."""

    status: HTTPStatus
    slug: str
    title: str


INTERNAL = Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed")
_MEMORY = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "memory", "The service is out of memory")

KINDS: dict[type[errors.LatentdError], Kind] = {
    errors.MalformedInputError: Kind(
        HTTPStatus.BAD_REQUEST, "malformed", "The request is not what it says it is"
    ),
    errors.InvalidInputError: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "The request is well-formed and wrong"
    ),
    errors.LimitExceededError: Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "limit", "The request is over a limit"
    ),
    errors.UnsupportedFormatError: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-format", "The format is not read"
    ),
    errors.NotAcceptableError: Kind(
        HTTPStatus.NOT_ACCEPTABLE, "unoffered-format", "No accepted format can be given"
    ),
    errors.ModelNotFoundError: Kind(
        HTTPStatus.NOT_FOUND, "model-not-found", "The model is not served"
    ),
    errors.UnsupportedOperationError: Kind(
        HTTPStatus.CONFLICT, "unavailable", "The model lacks what the operation needs"
    ),
    errors.AuthenticationError: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "A key is needed"),
    errors.ForbiddenError: Kind(HTTPStatus.FORBIDDEN, "forbidden", "The key lacks the right"),
    errors.OverloadedError: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "overloaded", "Too many requests are waiting"
    ),
    errors.DeadlineExceededError: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "deadline", "The request waited too long"
    ),
    errors.NotReadyError: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service is not ready"
    ),
    errors.LatentdError: INTERNAL,
}


def find_kind(error: type[errors.LatentdError]) -> Kind:
    """Return what an error is to a client: its own entry or its nearest ancestor's."""
    return next(KINDS[ancestor] for ancestor in error.__mro__ if ancestor in KINDS)


def name_status(status: HTTPStatus) -> Kind:
    """Return the kind of an error that HTTP itself names."""
    return Kind(status, status.phrase.lower().replace(" ", "-"), status.phrase)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    app.add_exception_handler(errors.LatentdError, answer_error)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)
    app.add_exception_handler(MemoryError, _answer_no_memory)
    app.add_exception_handler(Exception, _answer_unexpected)


def to_violations(details: Sequence[ErrorDetails], skip: int = 0) -> list[errors.Violation]:
    """Turn pydantic's findings into violations with JSON pointers, without `skip` leading parts."""
    return [errors.Violation(_point_to(detail["loc"][skip:]), detail["msg"]) for detail in details]


def _point_to(location: Sequence[int | str]) -> str:
    """Return a JSON pointer (RFC 6901) to a parameter; pydantic's trail within it is left out."""
    names = (str(part).replace("~", "~0").replace("/", "~1") for part in location[:1])
    return "".join(f"/{name}" for name in names)


def answer_error(request: Request, error: Exception) -> Response:
    """Return the answer to one of our errors; middleware outside the handlers calls it itself."""
    kind = find_kind(type(error)) if isinstance(error, errors.LatentdError) else INTERNAL
    if kind is INTERNAL:
        return _answer_unexpected(request, error)
    violations = error.violations if isinstance(error, errors.InvalidInputError) else ()
    return _pack(request, kind, str(error), violations)


def _answer_validation(request: Request, error: Exception) -> Response:
    """Answer for query parameters, the only thing that FastAPI itself validates here."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    violations = to_violations(found, skip=1)
    detail = "; ".join(f"{violation.pointer[1:]}: {violation.detail}" for violation in violations)
    return _pack(request, KINDS[errors.InvalidInputError], detail, violations)


def _answer_http(request: Request, error: Exception) -> Response:
    """Answer for what the router raises: an unknown path or method."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    kind = name_status(status)
    answer = _pack(request, kind, f"{request.method} {request.scope['path']}: {status.phrase}")
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _answer_disconnect(request: Request, _error: Exception) -> Response:
    """Note the end of a request that nobody waits for, or that the server answers itself."""
    refusal: Kind | None = request.scope["state"].get(REFUSAL)
    count_error("client-closed-request" if refusal is None else refusal.slug)
    return Response(status_code=_CLIENT_CLOSED_REQUEST if refusal is None else refusal.status)


def _answer_no_memory(request: Request, error: Exception) -> Response:
    _log.error("request %s found no memory", _request_id(request), exc_info=error)
    return _pack(request, _MEMORY, "there is no memory for the request just now")


def _answer_unexpected(request: Request, error: Exception) -> Response:
    _log.error("request %s failed", _request_id(request), exc_info=error)
    answer = _pack(request, INTERNAL, "the request failed; the service's log has the cause")
    answer.headers["Connection"] = "close"  # Starlette raises on, at which the server hangs up
    return answer


def _pack(
    request: Request,
    kind: Kind,
    detail: str,
    violations: Sequence[errors.Violation] = (),
) -> Response:
    count_error(kind.slug)
    # Not `request.url`, whose host the client writes.
    is_oip = get_route_path(request.scope).startswith("/v2")
    write = write_oip_error if is_oip else write_problem
    status, media_type, content = write(kind, detail, _request_id(request), violations)
    return _add_headers(request, Response(content, status, media_type=media_type))


def write_problem(
    kind: Kind, detail: str, request_id: str, violations: Sequence[errors.Violation] = ()
) -> tuple[HTTPStatus, str, bytes]:
    """Return the status, media type and body of an answer with problem details."""
    content: dict[str, object] = {
        "type": f"urn:latentd:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status.value,
        "detail": detail,
        "instance": f"urn:latentd:request:{request_id}",
    }
    if violations:
        content["errors"] = [{"pointer": f.pointer, "detail": f.detail} for f in violations]
    return kind.status, MEDIA_TYPE, orjson.dumps(content)


def write_oip_error(
    kind: Kind, detail: str, _request_id: str, _flaws: Sequence[errors.Violation] = ()
) -> tuple[HTTPStatus, str, bytes]:
    """Return the same in the Open Inference Protocol's own form, which knows no 409 or 422."""
    is_ours = kind.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT}
    status = HTTPStatus.BAD_REQUEST if is_ours else kind.status
    return status, "application/json", orjson.dumps({"error": detail})


def _add_headers(request: Request, answer: Response) -> Response:
    answer.headers["X-Request-ID"] = _request_id(request)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="latentd"'
    if answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        answer.headers["Retry-After"] = _RETRY_SECONDS
    return answer


def _request_id(request: Request) -> str:
    identifier: str = request.scope.get("state", {}).get("request_id", "")
    return identifier
