"""Requests for the same network, done as one run where they wait at the same time anyway.

A network takes a batch in less time than as many single images. Nothing waits for company: what
is alone when its turn comes is run alone. Short runs are gathered in a turn of the event loop,
long ones where they wait for a thread.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from service.artifact.manifest import NetworkName
from service.inference.model import Model
from service.observability.tracing import is_traced
from service.runtimes import Floats

Outcome: TypeAlias = list[Floats] | Exception
"""What a run gives, or what it raised, to be raised where it is awaited."""

_MOST_SECONDS = 0.05
"""What the images in a batch of long runs may take alone, summed up: everybody in it waits for all.
A network of 33 MB took 4.1 ms an image alone, 2.5 in batches of 8, 2.4 in batches of 16 (one CPU).
"""
_MOST_IMAGES = 64
"""Images in such a batch: more gain nothing, and all are held in memory at once."""
_Key: TypeAlias = tuple[int, NetworkName]


def run_together(
    model: Model, network: NetworkName, batches: Sequence[Floats]
) -> Sequence[Outcome]:
    """Run a network over the batches of several requests as one batch.

    Args:
        model: The model; it has the network.
        network: Its name.
        batches: (N, *input shape) float32 each.

    Returns:
        For each batch what `Model.run` gives or raises. Where all together fail, each is run
        alone: one of them may be to blame.
    """
    if len(batches) > 1:
        with contextlib.suppress(Exception):
            outputs = model.run(network, np.concatenate(batches), requests=len(batches))
            return _divide(outputs, batches)
    return [_run_alone(model, network, batch) for batch in batches]


def _divide(outputs: list[Floats], batches: Sequence[Floats]) -> list[list[Floats]]:
    parts: list[list[Floats]] = []
    start = 0
    for batch in batches:
        end = start + len(batch)
        parts.append([output[start:end] for output in outputs])
        start = end
    return parts


def _run_alone(model: Model, network: NetworkName, batch: Floats) -> Outcome:
    try:
        return model.run(network, batch)
    except Exception as error:  # noqa: BLE001 - raised where it is awaited
        return error


@dataclass(slots=True)
class _Group:
    model: Model
    network: NetworkName
    asked: list[tuple[Floats, asyncio.Future[list[Floats]]]] = field(default_factory=list)


class TurnBatcher:
    """Gathers the short runs of a turn; to be used on one event loop."""

    def __init__(self) -> None:
        """Start with nothing gathered."""
        self._groups: dict[_Key, _Group] = {}

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

    def _run(self, key: _Key) -> None:
        group = self._groups.pop(key)
        wanted = [(batch, outputs) for batch, outputs in group.asked if not outputs.done()]
        outcomes = run_together(group.model, group.network, [batch for batch, _ in wanted])
        for (_, outputs), outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, Exception):
                outputs.set_exception(outcome)
            else:
                outputs.set_result(outcome)


@dataclass(eq=False, slots=True)
class _Waiting:
    """A run that waits for a thread."""

    model: Model
    network: NetworkName
    images: int
    unpack: Callable[[], Floats]
    outcome: Outcome | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, outcome: Outcome) -> None:
        """Tell what came of it."""
        self.outcome = outcome
        self.ended.set()

    def result(self) -> list[Floats]:
        """Return or raise what came of it; to be asked once."""
        outcome, self.outcome = self.outcome, None
        try:
            if isinstance(outcome, Exception):
                raise outcome
            assert outcome is not None  # noqa: S101 - it has ended
            return outcome
        finally:
            del outcome  # an error's traceback holds this frame


class QueueBatcher:
    """Has a thread that takes one of the waiting runs take others of the same network with it."""

    def __init__(self, threads: int) -> None:
        """Start with nothing waiting; `threads` share what waits."""
        self._threads = threads
        self._lock = threading.Lock()
        self._waiting: dict[_Key, list[_Waiting]] = {}

    @contextlib.contextmanager
    def queue(
        self, model: Model, network: NetworkName, images: int, unpack: Callable[[], Floats]
    ) -> Iterator[Callable[[], list[Floats]]]:
        """Queue a run for as long as somebody waits for it.

        Args:
            model: The model; it has the network.
            network: Its name.
            images: The size of its batch.
            unpack: Returns its batch; called by whichever thread does the run.

        Yields:
            What a thread is to call for the outputs; it raises what `unpack` or `Model.run` does.
        """
        if is_traced():  # each run has a span of its own
            yield lambda: model.run(network, unpack())
            return
        run = _Waiting(model, network, images, unpack)
        key = (id(model), network)
        with self._lock:
            self._waiting.setdefault(key, []).append(run)
        try:
            yield lambda: self._finish(key, run)
        finally:
            with self._lock:
                if run in self._waiting.get(key, []):
                    self._remove(key, [run])

    def _finish(self, key: _Key, run: _Waiting) -> list[Floats]:
        """Do runs until this one has ended, by this thread or by the one that took it before."""
        while not run.ended.is_set():
            taken = self._take(key, run)
            if taken:
                _serve(taken)
            else:
                run.ended.wait()
        return run.result()

    def _take(self, key: _Key, first: _Waiting) -> list[_Waiting]:
        """Take this thread's share of the runs that wait, `first` first if it is among them."""
        with self._lock:
            waiting = sorted(self._waiting.get(key, []), key=lambda run: run is not first)
            share = -(-len(waiting) // self._threads)
            taken: list[_Waiting] = []
            images = 0
            for run in waiting[:share]:
                images += run.images
                seconds = images * run.model.seconds[run.network]
                if taken and (images > _MOST_IMAGES or seconds > _MOST_SECONDS):
                    break
                taken.append(run)
            self._remove(key, taken)
            return taken

    def _remove(self, key: _Key, runs: list[_Waiting]) -> None:
        left = [run for run in self._waiting.get(key, []) if run not in runs]
        if left:
            self._waiting[key] = left
        else:
            self._waiting.pop(key, None)


def _serve(runs: list[_Waiting]) -> None:
    """Do runs of one network together, and end them all, whatever happens."""
    try:
        _unpack_and_run(runs)
    except Exception as error:  # noqa: BLE001 - raised where it is awaited
        for run in runs:
            if not run.ended.is_set():
                run.end(error)


def _unpack_and_run(runs: list[_Waiting]) -> None:
    ready: list[_Waiting] = []
    batches: list[Floats] = []
    for run in runs:
        try:
            batches.append(run.unpack())
            ready.append(run)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            run.end(error)
    outcomes = run_together(runs[0].model, runs[0].network, batches)
    for run, outcome in zip(ready, outcomes, strict=True):
        run.end(outcome)
