"""The request context: head, body and response of one request."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response

from service.errors import LimitExceededError, OverloadedError
from service.http.api_keys import INFER, authorize, make_key
from service.http.limits import Limits
from service.http.memory import MemoryBudget
from service.http.request_context import RequestContext
from tests.support.asgi_requests import FakeRequest

LIMITS = Limits(body_bytes=100, images=1, pixels=1, samples=1, json_bytes=50, json_values=1)


def read_body(request: FakeRequest, limit: str = "body_bytes", budget: int = 1000) -> bytes:
    """Read the body of a request."""
    return asyncio.run(request.make_context(MemoryBudget(budget)).read_body(LIMITS, limit))


def respond(response: Response) -> dict[str, str]:
    """Send a response through a context and return its headers."""
    request = FakeRequest(headers={"X-Request-ID": "mine"})
    context = request.make_context()
    asyncio.run(response(request.scope, context.receive, context.send))
    return request.response_headers


def test_repeated_headers_are_joined() -> None:
    """Repeated headers form one list (RFC 9110, section 5.3)."""
    headers = [("Accept", "text/html"), ("X", "1"), ("Accept", "image/png")]

    context = FakeRequest(headers=headers).make_context()

    assert context.headers == {b"accept": "text/html, image/png", b"x": "1"}


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "\u00e4", 'a"b'])
def test_malformed_id_is_replaced(given: str) -> None:
    """A well-formed id of the client is kept; any other is replaced by a random one."""
    first, second = (FakeRequest(headers={"X-Request-ID": given}).make_context() for _ in "ab")

    assert FakeRequest(headers={"X-Request-ID": "a-1"}).make_context().request_id == "a-1"
    assert len(first.request_id) == 32
    assert first.request_id != second.request_id


def test_client_is_the_key_or_the_address() -> None:
    """A client is identified by the name of its key, else by its address, if that is known."""
    text, key = make_key("ci", frozenset({INFER}))
    request = FakeRequest(headers={"X-API-Key": text})
    context = request.make_context()

    assert context.client == "192.0.2.1"
    authorize(context, [key])
    assert context.client == context.key == "ci"
    request.scope["client"] = None
    assert request.make_context().client == ""


@pytest.mark.parametrize("chunks", [[b"body"], [b"bo", b"", b"dy"], [b"", b"body"]])
def test_body_is_joined(chunks: list[bytes]) -> None:
    """A body is the same in any number of parts."""
    assert read_body(FakeRequest(chunks=chunks)) == b"body"


@pytest.mark.parametrize(
    ("headers", "chunks", "limit"),
    [
        ({"Content-Length": "101"}, [], "body_bytes"),
        ({"Content-Length": "51"}, [], "json_bytes"),
        ({"Content-Length": "9" * 20}, [], "body_bytes"),
        ({}, [bytes(60), bytes(60)], "body_bytes"),
        ({"Content-Length": "-1"}, [bytes(60), bytes(60)], "body_bytes"),
        ({"Content-Length": "9" * 5000}, [bytes(101)], "body_bytes"),
        ({"Content-Length": "\u0663"}, [bytes(101)], "body_bytes"),
    ],
)
def test_body_over_the_limit_is_rejected(
    headers: dict[str, str], chunks: list[bytes], limit: str
) -> None:
    """A declared length is checked before the body arrives; other bodies are counted."""
    with pytest.raises(LimitExceededError, match=f"LATENTD_MAX_{limit.upper()}"):
        read_body(FakeRequest(headers=headers, chunks=chunks), limit)


def test_disconnect_ends_the_body() -> None:
    """A client that disconnects in the middle of the body raises ClientDisconnect."""
    with pytest.raises(ClientDisconnect):
        read_body(FakeRequest(chunks=[]))


@pytest.mark.parametrize("reads_whole_body", [True, False])
def test_body_reserves_its_bytes(reads_whole_body: bool) -> None:
    """A body that exceeds the budget is rejected; the context counts its reserved bytes."""
    request = FakeRequest(chunks=[bytes(20), bytes(20)])
    context = request.make_context(MemoryBudget(30))

    async def read() -> None:
        if reads_whole_body:
            await context.read_body(LIMITS)
        else:
            await context.receive()
            await context.receive()

    with pytest.raises(OverloadedError, match="LATENTD_MAX_PENDING_BYTES"):
        asyncio.run(read())
    assert context.reserved == 20


def test_deadline_starts_when_the_body_is_complete() -> None:
    """The time of waiting starts at the end of the body, which the client may delay."""
    context = FakeRequest().make_context()
    asyncio.run(context.read_body(LIMITS))

    assert context.waiting_since > context.started


def test_disconnect_after_the_body_is_noticed() -> None:
    """Waiting for a disconnect ends when the client disconnects."""
    with pytest.raises(ClientDisconnect):
        asyncio.run(FakeRequest(chunks=[b"rest"]).make_context().wait_for_disconnect())


def test_end_is_recorded_once_before_the_last_part() -> None:
    """A client that has the whole response finds its request counted, exactly once."""
    request = FakeRequest()
    sent_before: list[int] = []

    def record(_: RequestContext) -> None:
        sent_before.append(len(request.messages))

    context = request.make_context(on_end=record)

    async def send() -> None:
        await context.send({"type": "http.response.start", "status": 200, "headers": []})
        await context.send({"type": "http.response.body", "body": b"a", "more_body": True})
        await context.send({"type": "http.response.body", "body": b"b"})

    asyncio.run(send())
    context.end()

    assert sent_before == [2]
    assert context.status == 200


@pytest.mark.parametrize("response", [JSONResponse({}), HTMLResponse(""), Response(b"")])
def test_every_response_has_the_security_headers(response: Response) -> None:
    """Every response has its id, a content security policy and the other security headers."""
    headers = respond(response)

    assert headers["x-request-id"] == "mine"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    is_page = isinstance(response, HTMLResponse)
    assert ("script-src 'self'" in headers["content-security-policy"]) == is_page
    assert headers["content-security-policy"].startswith("default-src 'none'; ")


@pytest.mark.parametrize("response_type", [JSONResponse, HTMLResponse])
def test_response_keeps_its_own_policy_and_caching(response_type: type[Response]) -> None:
    """A response's own policy and cache control are kept; one with an ETag may be cached."""
    own = {"Content-Security-Policy": "default-src 'self'", "ETag": '"x"'}

    headers = respond(response_type("", headers=own))
    with_caching = respond(response_type("", headers={**own, "Cache-Control": "private"}))

    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["cache-control"] == "no-cache"
    assert with_caching["cache-control"] == "private"


def test_length_of_the_response_is_recorded() -> None:
    """The context records the declared length of the response."""
    request = FakeRequest()
    context = request.make_context()
    asyncio.run(Response(b"12345")(request.scope, context.receive, context.send))

    assert context.bytes_out == 5
