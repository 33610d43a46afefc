"""What is noted of a request, whatever application is inside."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http.access_log import RequestLog


async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer as an application that knows the client's key."""
    scope["state"]["key"] = "ci"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fail before answering."""
    raise ZeroDivisionError


def note(app: Any, caplog: pytest.LogCaptureFixture, **headers: str) -> dict[str, Any]:  # noqa: ANN401 - an ASGI application
    """Return the fields of the one line about a request to an application."""
    caplog.set_level(logging.INFO)
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": raw}

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        pass

    with contextlib.suppress(ZeroDivisionError):
        asyncio.run(RequestLog(app)(scope, receive, send))
    (record,) = caplog.records
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    return fields


def test_the_name_of_the_key_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """The line tells whose key it was, and not the key."""
    fields = note(answer, caplog, authorization="Bearer secret")

    assert fields["key"] == "ci"
    assert "secret" not in str(fields)


def test_a_request_that_fails_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """An application that raises without answering leaves a line with status 500."""
    assert note(fail, caplog)["status"] == 500


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 5000, "\u0663"])
def test_a_lying_length_is_left_out(caplog: pytest.LogCaptureFixture, length: str) -> None:
    """A declared length that is no sensible number is not noted, and fails nothing."""
    assert "bytes_in" not in note(answer, caplog, content_length=length)
