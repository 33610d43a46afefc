"""Load shedding: a request like one that was just rejected is rejected at once."""

from collections.abc import Iterator

import pytest

from service.errors import OverloadedError
from service.http import load_shedding
from service.http.load_shedding import LoadShedder
from service.http.request_context import RequestContext
from service.inference.scheduler import Scheduler
from tests.support.asgi_requests import FakeRequest


class FakeScheduler(Scheduler):
    """A scheduler whose queue is full while `full` is set."""

    full = True

    @property
    def is_full(self) -> bool:
        """See `Scheduler.is_full`."""
        return self.full


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    """A scheduler whose queue is full."""
    scheduler = FakeScheduler(threads=1, max_queue=1)
    yield scheduler
    scheduler.close()


def make_context(
    path: str = "/v1/sample", query: bytes = b"count=9", length: str | None = "20"
) -> RequestContext:
    """Return the context of a request that declares the length of its body."""
    headers = {} if length is None else {"Content-Length": length}
    return FakeRequest(path, query=query, headers=headers).make_context()


def is_shed(shedder: LoadShedder, context: RequestContext) -> bool:
    """Return whether a request is rejected early."""
    try:
        shedder.check(context)
    except OverloadedError as error:
        return "LATENTD_MAX_QUEUE" in str(error)
    return False


@pytest.mark.parametrize("length", ["20", "30"])
def test_equal_request_is_shed(scheduler: FakeScheduler, length: str) -> None:
    """An equal request with a body at least as long is rejected and counted by its operation."""
    shedder = LoadShedder(scheduler)
    rejected, later = make_context(), make_context(length=length)
    rejected.route = ("sample", "/v1/sample")

    shedder.remember(rejected)

    assert is_shed(shedder, later)
    assert later.route == ("sample", "/v1/sample")


@pytest.mark.parametrize(
    "context",
    [
        make_context(length="19"),
        make_context(length=None),
        make_context(length="-1"),
        make_context("/v1/encode"),
        make_context(query=b"count=1"),
        make_context(query=b""),
    ],
    ids=["shorter", "undeclared", "invalid length", "other path", "other query", "no query"],
)
def test_other_request_is_not_shed(scheduler: FakeScheduler, context: RequestContext) -> None:
    """A rejection says nothing about shorter bodies, other paths and other parameters."""
    shedder = LoadShedder(scheduler)
    shedder.remember(make_context())

    assert not is_shed(shedder, context)
    assert context.route is None


def test_nothing_is_shed_while_there_is_room(scheduler: FakeScheduler) -> None:
    """Requests are shed only while the queue is full."""
    shedder = LoadShedder(scheduler)
    shedder.remember(make_context())

    scheduler.full = False

    assert not is_shed(shedder, make_context())


def test_rejection_for_another_reason_is_not_remembered(scheduler: FakeScheduler) -> None:
    """A request that was rejected while the queue had room does not affect later requests."""
    shedder = LoadShedder(scheduler)
    scheduler.full = False
    shedder.remember(make_context())
    scheduler.full = True

    assert not is_shed(shedder, make_context())


def test_rejection_expires(scheduler: FakeScheduler) -> None:
    """A rejection counts for one second, the time in `Retry-After`."""
    shedder = LoadShedder(scheduler)
    shedder.remember(make_context())
    soon, late = make_context(), make_context()
    soon.started += 0.5
    late.started += 1.1

    assert is_shed(shedder, soon)
    assert not is_shed(shedder, late)


def test_memory_is_bounded(scheduler: FakeScheduler) -> None:
    """Clients that send ever other queries do not fill the memory."""
    shedder = LoadShedder(scheduler)

    for number in range(3 * load_shedding._MAX_REMEMBERED):
        shedder.remember(make_context(query=str(number).encode()))

    assert len(shedder._rejections) <= load_shedding._MAX_REMEMBERED
