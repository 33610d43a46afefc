"""Runs of a network that are asked for in the same turn of the event loop, done as one.

Under load many short requests arrive between two turns, and a network takes a batch in less time
than as many single images. Nothing waits for company: what is alone in its turn is run alone.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

import numpy as np

from service.artifact.manifest import NetworkName
from service.inference.model import Model
from service.runtimes import Floats
from service.tracing import is_traced


@dataclass(slots=True)
class _Group:
    model: Model
    network: NetworkName
    asked: list[tuple[Floats, asyncio.Future[list[Floats]]]] = field(default_factory=list)


class Gathering:
    """Gathers the runs of a turn; to be used on one event loop."""

    def __init__(self) -> None:
        """Start with nothing gathered."""
        self._groups: dict[tuple[int, NetworkName], _Group] = {}

    async def run(self, model: Model, network: NetworkName, batch: Floats) -> list[Floats]:
        """Run a network as `Model.run` does, together with what else this turn brings."""
        if is_traced():
            return model.run(network, batch)
        loop = asyncio.get_running_loop()
        key = (id(model), network)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(model, network)
            loop.call_soon(self._run, key)
        outputs: asyncio.Future[list[Floats]] = loop.create_future()
        group.asked.append((batch, outputs))
        return await outputs

    def _run(self, key: tuple[int, NetworkName]) -> None:
        group = self._groups.pop(key)
        wanted = [(batch, outputs) for batch, outputs in group.asked if not outputs.done()]
        if len(wanted) > 1:
            # One of them may be to blame for an error: then each is run alone.
            with contextlib.suppress(Exception):
                _run_together(group, wanted)
                return
        for batch, outputs in wanted:
            try:
                outputs.set_result(group.model.run(group.network, batch))
            except Exception as error:  # noqa: BLE001 - to be raised where it is awaited
                outputs.set_exception(error)


def _run_together(group: _Group, wanted: list[tuple[Floats, asyncio.Future[list[Floats]]]]) -> None:
    together = np.concatenate([batch for batch, _ in wanted])
    whole = group.model.run(group.network, together, requests=len(wanted))
    start = 0
    for batch, outputs in wanted:
        end = start + len(batch)
        outputs.set_result([output[start:end] for output in whole])
        start = end
