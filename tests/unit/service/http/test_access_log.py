"""The access log: the fields of an entry."""

import logging
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from service.http.access_log import find_route, log_rejection, log_request
from service.http.problems import describe_status
from service.http.request_context import RequestContext
from service.observability.metrics import OTHER_OPERATION
from tests.support.asgi_requests import FakeRequest

TIMEOUT = describe_status(HTTPStatus.REQUEST_TIMEOUT)


def get_entry(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the fields of the only entry."""
    (record,) = caplog.records
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    return fields


def log(context: RequestContext, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Log a request and return the fields of its entry."""
    caplog.set_level(logging.INFO)
    log_request(context)
    return get_entry(caplog)


def test_entry_has_the_request_and_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """An entry has the method, path, route, status, sizes, model and id, and no query."""
    headers = {"X-Request-ID": "mine", "Content-Length": "12"}
    context = FakeRequest("/v1/encode", query=b"secret=1", headers=headers).make_context()
    context.route, context.model = ("encode", "/v1/encode"), "full@2"
    context.status, context.bytes_out = 200, 34

    entry = log(context, caplog)

    assert entry.pop("duration_ms") >= 0
    assert entry == {
        "method": "POST",
        "path": "/v1/encode",
        "route": "/v1/encode",
        "status": 200,
        "request_id": "mine",
        "model": "full@2",
        "bytes_in": 12,
        "bytes_out": 34,
    }
    assert caplog.messages[0].startswith("POST /v1/encode 200 ")


def test_entry_has_the_name_of_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """An entry has the name of the API key and never its text."""
    context = FakeRequest(headers={"Authorization": "Bearer secret"}).make_context()
    context.key = "ci"

    entry = log(context, caplog)

    assert entry["key"] == "ci"
    assert "secret" not in str(entry)


def test_request_without_a_response_has_status_500(caplog: pytest.LogCaptureFixture) -> None:
    """A request that ended before its response started is logged with status 500."""
    assert log(FakeRequest().make_context(), caplog)["status"] == 500


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 5000, "\u0663", ""])
def test_invalid_length_is_omitted(caplog: pytest.LogCaptureFixture, length: str) -> None:
    """A declared length that is not a sensible number is omitted."""
    context = FakeRequest(headers={"Content-Length": length}).make_context()

    assert "bytes_in" not in log(context, caplog)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a\r\nforged\x1b[31m", r"/a\r\nforged\x1b[31m"),
        ("/\u00e4", r"/\xe4"),
        ("/a\\n", r"/a\\n"),
        ("/" + "a" * 1000, "/" + "a" * 255),
    ],
)
def test_path_is_escaped_and_truncated(
    caplog: pytest.LogCaptureFixture, path: str, expected: str
) -> None:
    """A path cannot forge a line or fill the log."""
    entry = log(FakeRequest(path).make_context(), caplog)

    assert entry["path"] == expected
    assert caplog.messages[0].isprintable()


def test_nothing_is_written_below_the_level(caplog: pytest.LogCaptureFixture) -> None:
    """With a higher log level requests are counted without an entry."""
    caplog.set_level(logging.WARNING)

    log_request(FakeRequest().make_context())
    log_rejection(FakeRequest().scope, TIMEOUT, 0.1)

    assert caplog.records == []


@pytest.mark.parametrize(("given", "expected"), [("mine", "mine"), ("not well-formed", None)])
def test_rejection_by_the_server_is_logged(
    caplog: pytest.LogCaptureFixture, given: str, expected: str | None
) -> None:
    """A rejection by the server has an entry with its status and the returned id."""
    caplog.set_level(logging.INFO)
    scope = FakeRequest(headers={"X-Request-ID": given, "Content-Length": "5"}).scope

    request_id = log_rejection(scope, TIMEOUT, 0.25)

    entry = get_entry(caplog)
    assert request_id == (expected or request_id)
    assert entry["request_id"] == request_id != "not well-formed"
    assert (entry["status"], entry["route"], entry["duration_ms"]) == (408, None, 250)
    assert entry["bytes_in"] == 5


def test_route_is_that_of_the_operation_or_of_fastapi() -> None:
    """The route is the operation's, else FastAPI's, else none."""
    context = FakeRequest().make_context()

    assert find_route(context) == (OTHER_OPERATION, None)
    context.scope["route"] = SimpleNamespace(name="get_model", path_format="/v1/models/{name}")
    assert find_route(context) == ("get_model", "/v1/models/{name}")
    context.route = ("encode", "/v1/encode")
    assert find_route(context) == ("encode", "/v1/encode")
