"""The door: bodies that fit together, and refusals that cost nothing."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from service.inference.admission import Admission
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.errors import OverloadedError
from service.http.load_shedding import Door


class FullAdmission(Admission):
    """Is full while told so."""

    full = False

    @property
    def is_full(self) -> bool:
        """See `Admission.is_full`."""
        return self.full


@pytest.fixture
def admission() -> Iterator[FullAdmission]:
    """An admission that is not full yet."""
    made = FullAdmission(threads=1, queue=1)
    yield made
    made.close()


class Application:
    """Reads a body, holds it until it is let go, and answers."""

    def __init__(self) -> None:
        """Hold nothing, and answer that it is good."""
        self.go = asyncio.Event()
        self.go.set()
        self.status = 200
        self.reached = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, hold, answer."""
        self.reached += 1
        while (await receive()).get("more_body"):
            pass
        await self.go.wait()
        await Response(status_code=self.status)(scope, receive, send)


async def send(
    door: Door, sizes: Sequence[int], path: str = "/v1/sample", method: str = "POST"
) -> int:
    """Send a request whose body comes in chunks of these sizes; return the status."""
    chunks = [{"type": "http.request", "body": bytes(n), "more_body": True} for n in sizes]
    chunks[-1]["more_body"] = False
    left = iter(chunks)
    statuses: list[int] = []

    async def receive() -> Message:
        return next(left)

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    length = (b"content-length", str(sum(sizes)).encode())
    scope = {"type": "http", "method": method, "path": path, "headers": [length]}
    await door(scope, receive, keep)
    return statuses[0]


def test_bodies_in_hand_are_bounded_together(admission: Admission) -> None:
    """Over the bound a body is refused while it arrives, and fits once others have gone."""

    async def run() -> list[int]:
        application = Application()
        application.go.clear()
        door = Door(application, admission, most=100)
        held = [asyncio.ensure_future(send(door, [20, 20])) for _ in range(2)]
        await asyncio.sleep(0)
        for _ in range(5):
            with pytest.raises(OverloadedError, match="LATENTD_MAX_PENDING_BYTES"):
                await send(door, [15, 15])
        small = asyncio.ensure_future(send(door, [20]))
        await asyncio.sleep(0)
        application.go.set()
        return [*await asyncio.gather(small, *held), await send(door, [50, 50])]

    assert asyncio.run(run()) == [200] * 4


def test_failures_give_their_bytes_back(admission: Admission) -> None:
    """A request that ends with an error holds nothing any more."""

    async def fail(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        raise ConnectionError

    async def run() -> None:
        door = Door(fail, admission, most=100)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await send(door, [100])

    asyncio.run(run())


def test_what_was_refused_inside_is_refused_outside(admission: FullAdmission) -> None:
    """While the queue is full, requests like one that found no place do not come in."""

    async def run() -> tuple[list[int], int]:
        application = Application()
        application.status = 429
        door = Door(application, admission, most=100)
        admission.full = True
        return [await send(door, [size]) for size in (20, 20, 30)], application.reached

    assert asyncio.run(run()) == ([429, 429, 429], 1)


@pytest.mark.parametrize(
    ("request_", "full"),
    [
        ({"sizes": [19]}, True),
        ({"sizes": [20], "path": "/v1/encode"}, True),
        ({"sizes": [0], "method": "GET"}, True),
        ({"sizes": [20]}, False),
    ],
    ids=["shorter", "another path", "reads", "with room"],
)
def test_what_may_find_a_place_comes_in(
    admission: FullAdmission, request_: dict[str, object], full: bool
) -> None:
    """A refusal stands for nothing shorter, nowhere else, and for no longer than it must."""

    async def run() -> list[int]:
        application = Application()
        application.status = 429
        door = Door(application, admission, most=100)
        admission.full = True
        refused = await send(door, [20])
        application.status = 200
        admission.full = full
        return [refused, await send(door, **request_)]  # type: ignore[arg-type]

    assert asyncio.run(run()) == [429, 200]


def test_good_answers_teach_nothing(admission: FullAdmission) -> None:
    """Short work that is done while the queue is full is done again."""

    async def run() -> list[int]:
        door = Door(Application(), admission, most=100)
        admission.full = True
        return [await send(door, [20]) for _ in range(3)]

    assert asyncio.run(run()) == [200, 200, 200]
