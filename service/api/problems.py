"""Errors to answers, in one place: RFC 9457 problem details."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import errors
from service.metrics import count_error

MEDIA_TYPE = "application/problem+json"
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

KINDS: dict[type[errors.LatentdError], Kind] = {
    errors.MalformedInputError: Kind(
        HTTPStatus.BAD_REQUEST, "malformed", "The body is not what its content type says"
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
    errors.UnofferedFormatError: Kind(
        HTTPStatus.NOT_ACCEPTABLE, "unoffered-format", "No accepted format can be given"
    ),
    errors.ModelNotFoundError: Kind(
        HTTPStatus.NOT_FOUND, "model-not-found", "The model is not served"
    ),
    errors.UnavailableError: Kind(
        HTTPStatus.CONFLICT, "unavailable", "The model lacks what the operation needs"
    ),
    errors.OverloadedError: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "overloaded", "Too many requests are waiting"
    ),
    errors.NotReadyError: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service is not ready"
    ),
    errors.LatentdError: INTERNAL,
}


def find_kind(error: type[errors.LatentdError]) -> Kind:
    """Return what an error is to a client: its own entry or its nearest ancestor's."""
    return next(KINDS[ancestor] for ancestor in error.__mro__ if ancestor in KINDS)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    app.add_exception_handler(errors.LatentdError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)
    app.add_exception_handler(Exception, _answer_unexpected)


def to_flaws(details: Sequence[ErrorDetails], skip: int = 0) -> list[errors.Flaw]:
    """Turn pydantic's findings into flaws with JSON pointers, without `skip` leading parts."""
    return [errors.Flaw(_point_to(detail["loc"][skip:]), detail["msg"]) for detail in details]


def _point_to(location: Sequence[int | str]) -> str:
    """Return a JSON pointer (RFC 6901) to a parameter; pydantic's trail within it is left out."""
    names = (str(part).replace("~", "~0").replace("/", "~1") for part in location[:1])
    return "".join(f"/{name}" for name in names)


def _answer_ours(request: Request, error: Exception) -> Response:
    kind = find_kind(type(error)) if isinstance(error, errors.LatentdError) else INTERNAL
    if kind is INTERNAL:
        return _answer_unexpected(request, error)
    flaws = error.flaws if isinstance(error, errors.InvalidInputError) else ()
    return _pack(request, kind, str(error), flaws)


def _answer_validation(request: Request, error: Exception) -> Response:
    """Answer for query parameters, the only thing that FastAPI itself validates here."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    flaws = to_flaws(found, skip=1)
    detail = "; ".join(f"{flaw.pointer[1:]}: {flaw.detail}" for flaw in flaws)
    return _pack(request, KINDS[errors.InvalidInputError], detail, flaws)


def _answer_http(request: Request, error: Exception) -> Response:
    """Answer for what the router raises: an unknown path or method."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    kind = Kind(status, status.phrase.lower().replace(" ", "-"), status.phrase)
    answer = _pack(request, kind, f"{request.method} {request.url.path}: {status.phrase}")
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _answer_disconnect(_request: Request, _error: Exception) -> Response:
    count_error("client-closed-request")
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


def _answer_unexpected(request: Request, error: Exception) -> Response:
    _log.error("request %s failed", _request_id(request), exc_info=error)
    answer = _pack(request, INTERNAL, "the request failed; the service's log has the cause")
    answer.headers["Connection"] = "close"  # Starlette raises on, at which the server hangs up
    return answer


def _pack(
    request: Request,
    kind: Kind,
    detail: str,
    flaws: Sequence[errors.Flaw] = (),
) -> Response:
    count_error(kind.slug)
    if request.url.path.startswith("/v2"):
        return _pack_oip(request, kind, detail)
    content: dict[str, object] = {
        "type": f"urn:latentd:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status.value,
        "detail": detail,
        "instance": f"urn:latentd:request:{_request_id(request)}",
    }
    if flaws:
        content["errors"] = [{"pointer": f.pointer, "detail": f.detail} for f in flaws]
    return _add_headers(
        request, Response(orjson.dumps(content), kind.status, media_type=MEDIA_TYPE)
    )


def _pack_oip(request: Request, kind: Kind, detail: str) -> Response:
    """Answer in the Open Inference Protocol's own form, which knows 400 and no 409 or 422."""
    is_ours = kind.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT}
    status = HTTPStatus.BAD_REQUEST if is_ours else kind.status
    content = orjson.dumps({"error": detail})
    return _add_headers(request, Response(content, status, media_type="application/json"))


def _add_headers(request: Request, answer: Response) -> Response:
    answer.headers["X-Request-ID"] = _request_id(request)
    if answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        answer.headers["Retry-After"] = _RETRY_SECONDS
    return answer


def _request_id(request: Request) -> str:
    identifier: str = request.scope.get("state", {}).get("request_id", "")
    return identifier
