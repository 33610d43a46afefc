"""The request wrapper: dispatch, errors, budget and log around any application."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.errors import InvalidInputError, OverloadedError, Violation
from service.http.api_keys import INFER, Key, make_key
from service.http.load_shedding import LoadShedder
from service.http.memory import MemoryBudget
from service.http.request_context import RequestContext
from service.http.wrapper import Handler, RequestWrapper
from service.inference.scheduler import Scheduler
from service.observability import metrics
from tests.support.asgi_requests import FakeRequest

TEXT, KEY = make_key("ci", frozenset({INFER}))


class FakeScheduler(Scheduler):
    """A scheduler whose queue is full while `full` is set."""

    full = False

    @property
    def is_full(self) -> bool:
        """See `Scheduler.is_full`."""
        return self.full


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    """A scheduler with room."""
    scheduler = FakeScheduler(threads=1, max_queue=1)
    yield scheduler
    scheduler.close()


@pytest.fixture(autouse=True)
def _check_requests_in_flight() -> Iterator[None]:
    before = metrics.IN_FLIGHT._value.get()
    yield
    assert metrics.IN_FLIGHT._value.get() == before


async def serve_other(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the requests without a handler."""
    await Response("other")(scope, receive, send)


async def handle(context: RequestContext) -> Response:
    """Handle a request to an operation."""
    context.route = ("sample", "/v1/sample")
    return Response("handled")


async def fail(_: RequestContext) -> Response:
    """Fail unexpectedly."""
    raise ZeroDivisionError


class Overloaded:
    """A handler that counts its calls and rejects every request."""

    def __init__(self) -> None:
        """Start without calls."""
        self.calls = 0

    async def __call__(self, _: RequestContext) -> Response:
        """Reject a request."""
        self.calls += 1
        raise OverloadedError("full")


def wrap(
    scheduler: Scheduler,
    handler: Handler = handle,
    app: Any = serve_other,  # noqa: ANN401 - an ASGI application
    *,
    keys: Sequence[Key] = (),
    cors_origins: Sequence[str] = (),
    max_bytes: int = 1000,
) -> RequestWrapper:
    """Return a wrapper with one handler."""
    handlers: Mapping[str, Handler] = {"/v1/sample": handler}
    return RequestWrapper(
        app,
        handlers=handlers,
        load_shedder=LoadShedder(scheduler),
        memory_budget=MemoryBudget(max_bytes),
        keys=keys,
        cors_origins=cors_origins,
        is_traced=False,
    )


def send(wrapper: RequestWrapper, path: str = "/v1/sample", **options: Any) -> FakeRequest:  # noqa: ANN401 - as FakeRequest
    """Send a request and return it with its response."""
    request = FakeRequest(path, **options)
    asyncio.run(wrapper(request.scope, request.receive, request.send))
    return request


def test_post_to_an_operation_is_dispatched_to_its_handler(scheduler: Scheduler) -> None:
    """A POST request to the path of an operation is handled by it."""
    assert send(wrap(scheduler)).content == b"handled"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/sample", "GET"),
        ("/v1/sample", "PUT"),
        ("/v1/sample/", "POST"),
        ("/v1", "POST"),
        ("/", "GET"),
    ],
)
def test_other_request_is_passed_to_the_application(
    scheduler: Scheduler, path: str, method: str
) -> None:
    """Other methods and paths are served by the application."""
    assert send(wrap(scheduler), path, method=method).content == b"other"


def test_other_protocols_are_passed_to_the_application(scheduler: Scheduler) -> None:
    """Messages other than HTTP requests, such as start-up, reach the application unchanged."""
    scopes = []

    async def record(scope: Scope, _receive: Receive, _send: Send) -> None:
        scopes.append(dict(scope))

    request = FakeRequest()
    asyncio.run(wrap(scheduler, app=record)({"type": "lifespan"}, request.receive, request.send))

    assert scopes == [{"type": "lifespan"}]


def test_error_is_mapped_to_a_response(scheduler: Scheduler) -> None:
    """An error of a handler or of the application becomes a problem."""

    async def reject(_: RequestContext) -> Response:
        raise InvalidInputError(Violation("/x", "wrong"))

    async def reject_other(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise InvalidInputError(Violation("/x", "wrong"))

    wrapper = wrap(scheduler, reject, reject_other)

    for request in (send(wrapper), send(wrapper, "/other")):
        assert request.status == 422
        assert request.response_headers["content-type"] == "application/problem+json"


def test_unexpected_error_is_500_with_one_entry(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error has status 500, a traceback and one access log entry."""
    caplog.set_level(logging.INFO)

    assert send(wrap(scheduler, fail)).status == 500

    error, entry = caplog.records
    assert error.exc_info is not None
    assert entry.fields["status"] == 500  # type: ignore[attr-defined]


def test_error_after_the_start_of_the_response_is_raised(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """An error after the start of a response reaches the server, which cuts the connection."""
    caplog.set_level(logging.INFO)

    async def fail_late(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send(wrap(scheduler, app=fail_late), "/other")
    assert [record.getMessage().split()[2] for record in caplog.records] == ["200"]


def test_bodies_are_bounded_together(scheduler: Scheduler) -> None:
    """A body over the common budget is rejected, and accepted once other requests have ended."""

    async def run() -> list[int]:
        proceed = asyncio.Event()

        async def hold(_scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive()).get("more_body"):
                pass
            await proceed.wait()
            await Response()(_scope, receive, send)

        wrapper = wrap(scheduler, app=hold, max_bytes=100)

        async def send_bytes(*sizes: int) -> int:
            request = FakeRequest("/other", chunks=[bytes(size) for size in sizes])
            await wrapper(request.scope, request.receive, request.send)
            return request.status

        held = [asyncio.ensure_future(send_bytes(20, 20)) for _ in range(2)]
        await asyncio.sleep(0)
        rejected = [await send_bytes(15, 15) for _ in range(5)]
        small = asyncio.ensure_future(send_bytes(20))
        await asyncio.sleep(0)
        proceed.set()
        return [*rejected, *await asyncio.gather(small, *held), await send_bytes(50, 50)]

    assert asyncio.run(run()) == [429] * 5 + [200] * 4


def test_failed_request_releases_its_bytes(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """The bytes of a request that ended with an error are free again."""

    async def read_and_fail(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        raise ConnectionError

    wrapper = wrap(scheduler, app=read_and_fail, max_bytes=100)

    assert [send(wrapper, "/x", chunks=[bytes(100)]).status for _ in range(3)] == [500] * 3
    assert len(caplog.records) == 3


def test_rejection_sheds_later_requests(scheduler: FakeScheduler) -> None:
    """While the queue is full, a request like one that was rejected does not reach its handler."""
    handler = Overloaded()
    wrapper = wrap(scheduler, handler)
    scheduler.full = True

    statuses = [send(wrapper, headers={"Content-Length": str(n)}).status for n in (20, 20, 30)]

    assert statuses == [429] * 3
    assert handler.calls == 1
    assert send(wrapper, headers={"Content-Length": "19"}).status == 429
    assert handler.calls == 2


def test_accepted_requests_shed_nothing(scheduler: FakeScheduler) -> None:
    """Short work that is accepted while the queue is full is accepted again."""
    wrapper = wrap(scheduler)
    scheduler.full = True

    assert [send(wrapper).status for _ in range(3)] == [200] * 3


def test_reads_are_not_shed(scheduler: FakeScheduler) -> None:
    """Health checks and other paths are served while requests to an operation are shed."""
    wrapper = wrap(scheduler, Overloaded())
    scheduler.full = True
    send(wrapper)

    assert send(wrapper, "/livez", method="GET").status == 200


@pytest.mark.parametrize(
    ("text", "status"), [(TEXT, 200), ("unknown", 401)], ids=["known", "unknown"]
)
def test_key_is_checked_first(scheduler: Scheduler, text: str, status: int) -> None:
    """A request without a known key reaches neither handler nor application."""
    wrapper = wrap(scheduler, keys=[KEY])

    for path in ("/v1/sample", "/other"):
        assert send(wrapper, path, headers={"X-API-Key": text}).status == status


def test_preflight_requires_no_key(scheduler: Scheduler) -> None:
    """A browser's preflight request is accepted without a key; the request after it needs one."""
    origin = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    wrapper = wrap(scheduler, keys=[KEY], cors_origins=["https://a.example"])

    preflight = send(wrapper, method="OPTIONS", headers=origin)
    rejected = send(wrapper, headers=origin)

    assert preflight.status == 200
    assert preflight.response_headers["access-control-allow-origin"] == "https://a.example"
    assert preflight.response_headers["x-request-id"]
    assert rejected.status == 401
    assert rejected.response_headers["access-control-allow-origin"] == "https://a.example"
