"""How requests find operations, and operations their parameters."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from service.api.router import OperationRoute, Switch, read_query
from starlette.types import Message, Receive, Scope, Send

from service.errors import InvalidInputError, LatentdError

router = APIRouter(prefix="/v1", route_class=OperationRoute)


class Parameters(BaseModel):
    """What the operation can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = 1
    model: str | None = None


@router.post("/double")
async def double(_request: Request, query: Annotated[Parameters, Query()]) -> Response:
    """Answer twice the count; fail in two ways."""
    if query.model == "known":
        raise InvalidInputError
    if query.model == "unknown":
        raise ZeroDivisionError
    return Response(str(2 * query.count))


async def inner(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer what is no plain request to an operation."""
    await Response("inner")(_scope, _receive, send)


def answer(_request: Request, error: Exception) -> Response:
    """Answer an error of ours."""
    return Response(type(error).__name__, 422)


def send(path: str = "/v1/double", query: bytes = b"", method: str = "POST") -> str:
    """Return the body that a request gets."""
    answers: dict[Any, Any] = {LatentdError: answer, Exception: answer}
    switch = Switch(inner, router.routes, answers)
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": []}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def keep(message: Message) -> None:
        sent.append(message)

    asyncio.run(switch(scope, receive, keep))
    return bytes(sent[-1]["body"]).decode()


def test_a_request_reaches_its_operation() -> None:
    """A POST to an operation's path is answered by it, with the parameters in its query."""
    assert send(query=b"count=4") == "8"


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/double", "GET"), ("/v1/double/", "POST"), ("/v1", "POST")]
)
def test_everything_else_goes_on(path: str, method: str) -> None:
    """Other methods and paths are the application's, which knows what to say of them."""
    assert send(path, method=method) == "inner"


def test_errors_are_answered_by_their_nearest_class() -> None:
    """An error that has an answer gets it; one that has none is raised for the outermost layer."""
    assert send(query=b"model=known") == "InvalidInputError"
    with pytest.raises(ZeroDivisionError):
        send(query=b"model=unknown")


def test_of_a_repeated_parameter_the_last_counts() -> None:
    """As in every form."""
    assert read_query(Parameters, b"count=2&count=3").count == 3


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (b"count=x", ("query", "count")),
        (b"cuont=1", ("query", "cuont")),
        (b"count=", ("query", "count")),
    ],
)
def test_a_wrong_parameter_is_named(query: bytes, place: tuple[str, str]) -> None:
    """A value of the wrong kind, a name that is unknown and an empty value are refused."""
    with pytest.raises(RequestValidationError) as caught:
        read_query(Parameters, query)

    assert [flaw["loc"] for flaw in caught.value.errors()] == [place]


def test_only_short_queries_are_kept() -> None:
    """What is asked again is not read again, unless it is long: clients write queries."""
    short, long = b"model=a", b"model=" + b"a" * 300

    assert read_query(Parameters, short) is read_query(Parameters, short)
    assert read_query(Parameters, long) is not read_query(Parameters, long)
