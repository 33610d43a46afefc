"""The fair queue orders work by the virtual time of its client."""

from service.inference.batching import Work
from service.inference.fair_queue import FairQueue
from service.inference.operations import Steps


def make_steps() -> Steps[None]:
    """Return an operation without runs."""
    return
    yield


def push(queue: FairQueue, client: str, cost: float = 1.0) -> Work[None]:
    """Add work of a client."""
    work: Work[None] = Work(make_steps(), cost, client=client)
    queue.push(work)
    return work


def pop_clients(queue: FairQueue) -> str:
    """Empty the queue and return its clients in order."""
    clients = ""
    while (work := queue.pop()) is not None:
        clients += work.client
    return clients


def test_work_of_one_client_keeps_its_order() -> None:
    """With one client the queue is first in, first out, whatever the costs."""
    queue = FairQueue()
    works = [push(queue, "a", cost) for cost in (5, 1, 3)]

    assert [queue.pop() for _ in works] == works
    assert queue.pop() is None


def test_clients_alternate() -> None:
    """Clients with equal work take turns, although one filled the queue first."""
    queue = FairQueue()
    for client in "aaaabbbb":
        push(queue, client)

    assert pop_clients(queue) == "abababab"


def test_shares_are_measured_in_cost() -> None:
    """A client with expensive work gets fewer items in the same time."""
    queue = FairQueue()
    for _ in range(2):
        push(queue, "a", cost=3)
    for _ in range(6):
        push(queue, "b", cost=1)

    assert pop_clients(queue) == "abbbabbb"


def test_later_client_does_not_wait_for_the_backlog() -> None:
    """A client that arrives late starts at the current virtual time, without credit."""
    queue = FairQueue()
    for _ in range(10):
        push(queue, "a")
    for _ in range(5):
        queue.pop()
    for _ in range(3):
        push(queue, "b")

    assert pop_clients(queue)[:6] in {"bababa", "ababab"}


def test_discarded_work_is_skipped() -> None:
    """Discarded work is not returned; a second discard reports that it was gone."""
    queue = FairQueue()
    first, second = push(queue, "a"), push(queue, "a")

    assert queue.discard(first)
    assert not queue.discard(first)
    assert queue.pop() is second


def test_idle_clients_are_forgotten() -> None:
    """An empty queue remembers no client, and a long queue few idle ones."""
    queue = FairQueue()
    for number in range(3000):
        push(queue, f"{number}")
        if number:
            queue.pop()

    assert len(queue._finish) < 1100
    queue.pop()
    assert not queue._finish
