"""Dynamic batching: concurrent operations advance in lockstep and share network runs.

A network takes a batch in less time than as many single images. Operations that are ready at the
same time therefore join their runs of the same network. Nothing is delayed to wait for others.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from service.artifact.manifest import NetworkName
from service.inference.model import Model
from service.inference.operations import Steps
from service.runtimes import Floats

T = TypeVar("T")
_Outcome: TypeAlias = list[Floats] | Exception
_Groups: TypeAlias = dict[tuple[int, NetworkName], list[tuple["Work[Any]", Floats]]]


@dataclass(eq=False, slots=True)
class Work(Generic[T]):
    """The work of one request: an operation with its predicted cost."""

    steps: Steps[T]
    """The operation, not started."""
    cost: float
    """Predicted seconds, network runs included."""
    model: Model | None = None
    """The model whose networks it runs, if it runs any."""
    network: NetworkName | None = None
    """The network that it runs first."""
    images: int = 0
    """Number of images in that run."""
    client: str = ""
    """Identifies the client for fair queueing."""
    result: T | None = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


def run_together(items: Sequence[Work[Any]]) -> None:
    """Run operations to their ends; each item then holds its result or its error.

    An operation that fails does not affect the others. Joined runs return the same bits as
    separate ones on the shipped bundles.
    """
    groups: _Groups = {}
    for item in items:
        _advance(item, None, groups)
    while groups:
        group = groups.pop(key := next(iter(groups)))
        outcomes = _run_joined(group[0][0].model, key[1], [batch for _, batch in group])
        for (item, _), outcome in zip(group, outcomes, strict=True):
            _advance(item, outcome, groups)


def _advance(item: Work[Any], outcome: _Outcome | None, groups: _Groups) -> None:
    """Resume an operation with the outcome of its run, up to its next run or its end."""
    try:
        if isinstance(outcome, Exception):
            network, batch = item.steps.throw(outcome)
        else:
            network, batch = item.steps.send(outcome)  # type: ignore[arg-type] - None starts it
    except StopIteration as stop:
        item.result = stop.value
    except Exception as error:  # noqa: BLE001 - raised where the result is awaited
        item.error = error
    else:
        groups.setdefault((id(item.model), network), []).append((item, batch))


def _run_joined(
    model: Model | None, network: NetworkName, batches: Sequence[Floats]
) -> Sequence[_Outcome]:
    """Run a network on several batches at once; one by one if that fails, to find the culprit."""
    assert model is not None  # noqa: S101 - only operations on a model yield runs
    if len(batches) > 1:
        with contextlib.suppress(Exception):
            outputs = model.run(network, np.concatenate(batches), requests=len(batches))
            return _split(outputs, [len(batch) for batch in batches])
    return [_run_alone(model, network, batch) for batch in batches]


def _split(outputs: Sequence[Floats], sizes: Sequence[int]) -> list[list[Floats]]:
    parts: list[list[Floats]] = []
    start = 0
    for size in sizes:
        parts.append([output[start : start + size] for output in outputs])
        start += size
    return parts


def _run_alone(model: Model, network: NetworkName, batch: Floats) -> _Outcome:
    try:
        return model.run(network, batch)
    except Exception as error:  # noqa: BLE001 - raised inside the operation
        return error
