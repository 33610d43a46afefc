"""Errors to responses: every class of errors has a problem type, and internals do not leak."""

import inspect
import logging
import re
from collections.abc import Iterator
from http import HTTPStatus

import orjson
import pytest
from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import errors
from service.http.problems import (
    PROBLEM_TYPES,
    REJECTION,
    describe_status,
    find_problem_type,
    make_error_response,
    to_violations,
)
from tests.support.asgi_requests import FakeRequest

INTERNAL = PROBLEM_TYPES[errors.LatentdError]
INTERNAL_ERRORS = {
    errors.InferenceError,
    errors.ArtifactError,
    errors.ApiKeysError,
    errors.InsecureSettingsError,
    errors.MissingExtraError,
    errors.DeviceError,
}
"""Errors that a request cannot avoid: 500."""


def list_leaves(error: type[errors.LatentdError] = errors.LatentdError) -> Iterator[type]:
    """Yield the error classes without subclasses."""
    children = error.__subclasses__()
    if not children:
        yield error
    for child in children:
        yield from list_leaves(child)


LEAVES = [error for error in list_leaves() if error.__module__ == errors.__name__]


def respond(error: Exception, path: str = "/v1/sample") -> Response:
    """Return the response to an error."""
    return make_error_response(FakeRequest(path).make_context(), error)


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_is_mapped(error: type[errors.LatentdError]) -> None:
    """A class that a client can cause has its own problem type; only internal errors are 500."""
    assert (error in PROBLEM_TYPES) != (error in INTERNAL_ERRORS)
    assert (find_problem_type(error) is INTERNAL) == (error in INTERNAL_ERRORS)


def test_docstring_draws_the_tree_of_errors() -> None:
    """The tree in the module's docstring has exactly the defined classes."""
    defined = [error for _, error in inspect.getmembers(errors, inspect.isclass)]

    names = {error.__name__ for error in defined if issubclass(error, Exception)}
    assert len(names) == len(defined) - 1  # Violation is the only other class
    assert names == set(re.findall(r"[A-Z]\w+Error", errors.__doc__ or ""))


def test_subclass_has_the_problem_type_of_its_ancestor() -> None:
    """A class without its own problem type has that of its nearest ancestor."""

    class TooManyDogsError(errors.LimitExceededError):
        pass

    assert find_problem_type(TooManyDogsError).status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_problem_types_are_distinct() -> None:
    """Each problem type has its own slug and, except for two 429 and two 503, its own status."""
    problems = list(PROBLEM_TYPES.values())

    assert len({problem.status for problem in problems}) == len(problems) - 2
    assert len({problem.slug for problem in problems}) == len(problems)


@pytest.mark.parametrize(
    ("location", "pointer"),
    [
        (("count",), "/count"),
        (("class", "int"), "/class"),
        (("a/b~c",), "/a~1b~0c"),
        ((), ""),
    ],
)
def test_violation_points_to_the_parameter(location: tuple[str, ...], pointer: str) -> None:
    """A violation has a JSON pointer (RFC 6901) to the parameter, and names it in the text."""
    detail = {"loc": location, "msg": "wrong", "type": "x", "input": None}

    (violation,) = to_violations([detail])  # type: ignore[list-item]

    assert violation == errors.Violation(pointer, f"{pointer[1:]}: wrong")


def test_problem_has_the_members_of_rfc_9457() -> None:
    """A problem has type, title, status, detail, instance and a list of violations."""
    violation = errors.Violation("/count", "Expected a number.")
    request = FakeRequest(headers={"X-Request-ID": "mine"})

    response = make_error_response(request.make_context(), errors.InvalidInputError(violation))

    assert response.media_type == "application/problem+json"
    assert orjson.loads(response.body) == {
        "type": "urn:latentd:problem:invalid",
        "title": "Invalid value in the request",
        "status": 422,
        "detail": "Expected a number.",
        "instance": "urn:latentd:request:mine",
        "errors": [{"pointer": "/count", "detail": "Expected a number."}],
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInputError(errors.Violation("", "text")), 400),
        (errors.UnsupportedOperationError("text"), 400),
        (errors.ModelNotFoundError("text"), 404),
        (errors.OverloadedError("text"), 429),
    ],
)
def test_protocol_paths_have_the_form_of_the_protocol(error: Exception, status: int) -> None:
    """Errors under `/v2` have the protocol's form, with 400 instead of 409 and 422."""
    response = respond(error, "/v2/models/full.encoder/infer")

    assert (response.status_code, response.media_type) == (status, "application/json")
    assert orjson.loads(response.body) == {"error": "text"}


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.AuthenticationError("text"), "WWW-Authenticate", 'Bearer realm="latentd"'),
        (errors.OverloadedError("text"), "Retry-After", "1"),
        (errors.DeadlineExceededError("text"), "Retry-After", "1"),
        (errors.NotReadyError("text"), "Retry-After", "1"),
        (MemoryError(), "Retry-After", "1"),
        (HTTPException(405, headers={"Allow": "POST"}), "Allow", "POST"),
        (ZeroDivisionError(), "Connection", "close"),
    ],
)
def test_status_has_its_header(error: Exception, header: str, value: str) -> None:
    """Each status has the header that HTTP requires for it."""
    assert respond(error).headers[header] == value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError("a secret"), 500),
        (errors.ArtifactError("a secret"), 500),
        (errors.InferenceError("a secret"), 500),
        (MemoryError("a secret"), 503),
    ],
)
def test_unexpected_error_is_logged_and_not_shown(
    caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    """An unexpected error is logged with its traceback; the response does not show its text."""
    response = respond(error)

    assert response.status_code == status
    assert b"secret" not in response.body
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_status_without_an_error_class_is_a_problem_too() -> None:
    """An unknown path, which the framework reports, is a problem with the path."""
    response = respond(HTTPException(404), "/nowhere")

    problem = orjson.loads(response.body)
    assert (response.status_code, problem["type"]) == (404, "urn:latentd:problem:not-found")
    assert problem["detail"] == "POST /nowhere: Not Found"


@pytest.mark.parametrize(
    ("rejection", "status"), [(None, 499), (describe_status(HTTPStatus(408)), 408)]
)
def test_disconnect_is_not_an_error(
    caplog: pytest.LogCaptureFixture, rejection: object, status: int
) -> None:
    """A disconnect has status 499, or that of the server's rejection, and no log entry."""
    context = FakeRequest().make_context()
    if rejection is not None:
        context.scope["state"][REJECTION] = rejection

    assert make_error_response(context, ClientDisconnect()).status_code == status
    assert caplog.records == []
