"""A queue in which clients get equal shares of the processing time.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each item is stamped with the
virtual time at which its client would start it if all clients advanced at the same rate, and the
item with the lowest stamp runs first. A client with one short request overtakes the backlog of a
client with many long ones, and no item starves.
"""

from bisect import insort
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from service.inference.batching import Work

_MAX_IDLE_CLIENTS = 1024


class FairQueue:
    """Items that wait, in the order in which they should run. Not thread-safe."""

    def __init__(self) -> None:
        """Start empty."""
        self._items: list[tuple[float, Work[Any]]] = []
        self._now = 0.0
        self._finish: dict[str, float] = {}
        """For each client, the virtual time at which its last item ends."""

    def __len__(self) -> int:
        """Return the number of items that wait."""
        return len(self._items)

    def __iter__(self) -> Iterator[Work[Any]]:
        """Iterate over the items in the order in which they should run."""
        return (item for _, item in self._items)

    def push(self, item: Work[Any]) -> None:
        """Add an item behind earlier items of its client."""
        start = max(self._now, self._finish.get(item.client, 0.0))
        self._finish[item.client] = start + item.cost
        insort(self._items, (start, item), key=itemgetter(0))

    def pop(self) -> Work[Any] | None:
        """Remove and return the item that should run next; None if the queue is empty."""
        if not self._items:
            return None
        self._now, item = self._items.pop(0)
        self._forget_idle_clients()
        return item

    def discard(self, item: Work[Any]) -> bool:
        """Remove an item if it still waits; return whether it did."""
        kept = [entry for entry in self._items if entry[1] is not item]
        is_removed = len(kept) < len(self._items)
        self._items = kept
        self._forget_idle_clients()
        return is_removed

    def _forget_idle_clients(self) -> None:
        if not self._items:
            self._now = 0.0
            self._finish.clear()
        elif len(self._finish) > _MAX_IDLE_CLIENTS:
            active = {item.client for item in self}
            self._finish = {c: end for c, end in self._finish.items() if c in active}
