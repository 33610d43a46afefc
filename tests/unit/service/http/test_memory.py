"""Memory of all requests together: a budget that rejects, and one for which threads wait."""

import threading

import pytest

from service.errors import LimitExceededError, OverloadedError
from service.http.memory import SMALL_BYTES, DecodingMemory, MemoryBudget

MIB = 1024 * 1024


def test_exhausted_budget_rejects_until_memory_is_released() -> None:
    """Reservations over the limit are rejected and reserve nothing."""
    budget = MemoryBudget(1000)
    budget.reserve(800)
    with pytest.raises(OverloadedError, match="LATENTD_MAX_PENDING_BYTES"):
        budget.reserve(201)
    budget.release(800)
    budget.reserve(1000)

    assert budget.reserved == 1000


def test_quarter_is_reserved_for_small_requests() -> None:
    """Large requests may use three quarters; small ones use the rest."""
    budget = MemoryBudget(4 * MIB)
    budget.reserve(3 * MIB, "large")
    with pytest.raises(OverloadedError):
        budget.reserve(SMALL_BYTES + 1, "another")
    with pytest.raises(OverloadedError):
        budget.reserve(SMALL_BYTES, "another", held=1)

    for _ in range(16):
        budget.reserve(SMALL_BYTES, "small")

    assert budget.reserved == 4 * MIB


def test_client_may_use_everything_while_nobody_waits() -> None:
    """Without other clients one client gets all of the memory for large requests."""
    budget = MemoryBudget(4 * MIB)

    for _ in range(3):
        budget.reserve(MIB, "first")

    assert budget.reserved == 3 * MIB


def test_client_gets_half_while_another_waits() -> None:
    """After the rejection of another client, a client over its half gets no more."""
    budget = MemoryBudget(4 * MIB)
    budget.reserve(3 * MIB, "first")
    with pytest.raises(OverloadedError):
        budget.reserve(MIB, "second")
    budget.release(MIB, "first")

    with pytest.raises(OverloadedError):
        budget.reserve(MIB, "first")
    budget.reserve(MIB, "second")


def test_memory_of_clients_is_constant() -> None:
    """Clients without reservations are not remembered, and rejected ones up to a limit."""
    budget = MemoryBudget(100)
    for number in range(10_000):
        budget.reserve(10, str(number))
        budget.release(10, str(number))
        with pytest.raises(OverloadedError):
            budget.reserve(101, str(number))

    assert len(budget._by_client) == 0
    assert len(budget._waiting) <= 256


def test_image_over_the_whole_memory_is_rejected() -> None:
    """An image that can never be decoded is rejected at once, with the setting's name."""
    with pytest.raises(LimitExceededError, match="LATENTD_MEMORY_BYTES"):
        DecodingMemory(10 * MIB).check(10 * MIB + 1)


def test_threads_wait_for_decoding_memory() -> None:
    """The second image is decoded after the first one released its memory."""
    memory = DecodingMemory(10 * MIB)
    entered = threading.Event()

    def decode() -> None:
        with memory.hold(6 * MIB):
            entered.set()

    with memory.hold(6 * MIB):
        thread = threading.Thread(target=decode)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(5)
    assert entered.is_set()


def test_small_images_do_not_wait() -> None:
    """Work that may run on the event loop never waits."""
    memory = DecodingMemory(2 * MIB)
    with memory.hold(2 * MIB), memory.hold(MIB):
        pass
