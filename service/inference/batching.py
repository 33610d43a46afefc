"""Dynamic batching: concurrent operations advance in lockstep and share network runs.

A network takes a batch in less time than as many single images. Operations that are ready at the
same time therefore join their runs of the same network. Nothing is delayed to wait for others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from opentelemetry.context import Context

from service.artifact.specs import NetworkName
from service.errors import DeadlineExceededError
from service.inference.model import Model
from service.inference.operations import Steps
from service.runtimes import Floats

T = TypeVar("T")
_Outcome: TypeAlias = list[Floats] | Exception
_Group: TypeAlias = list[tuple["Work[Any]", Floats]]
_Groups: TypeAlias = dict[tuple[int, NetworkName], _Group]


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
    trace: Context | None = field(default=None, init=False)
    """The trace of its request, if that is traced."""
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
        network = next(iter(groups))[1]
        group = groups.pop(next(iter(groups)))
        if len(group) > 1:
            outcomes = _run_joined(network, group)
        else:
            outcomes = [_run_alone(network, *group[0])]
        for (item, _), outcome in zip(group, outcomes, strict=True):
            _advance(item, outcome, groups)


def _advance(item: Work[Any], outcome: _Outcome | None, groups: _Groups) -> None:
    """Resume an operation with the outcome of its run, up to its next run or its end."""
    try:
        if isinstance(outcome, Exception):
            network, batch = item.steps.throw(outcome)
        else:
            network, batch = item.steps.send(outcome)  # type: ignore[arg-type]
    except StopIteration as stop:
        item.result = stop.value
    except Exception as error:  # noqa: BLE001 - raised where the result is awaited
        item.error = error
    else:
        groups.setdefault((id(item.model), network), []).append((item, batch))


def _run_joined(network: NetworkName, group: _Group) -> list[_Outcome]:
    """Run a network on several batches at once; one by one if that fails, to find the culprit."""
    try:
        model, batch = group[0][0].model, np.concatenate([batch for _, batch in group])
        assert model is not None  # noqa: S101 - only operations on a model yield runs
        traces = [item.trace for item, _ in group if item.trace is not None]
        outputs = model.run(network, batch, requests=len(group), traces=traces)
        return _split(outputs, [len(batch) for _, batch in group])
    except DeadlineExceededError as error:  # others have waited for the whole limit
        return [error] * len(group)
    except Exception:  # noqa: BLE001 - raised by the run of the culprit alone
        return [_run_alone(network, item, batch) for item, batch in group]


def _run_alone(network: NetworkName, item: Work[Any], batch: Floats) -> _Outcome:
    assert item.model is not None  # noqa: S101 - as above
    try:
        return item.model.run(network, batch, traces=[] if item.trace is None else [item.trace])
    except Exception as error:  # noqa: BLE001 - raised inside the operation
        return error


def _split(outputs: Sequence[Floats], sizes: Sequence[int]) -> list[_Outcome]:
    parts: list[_Outcome] = []
    start = 0
    for size in sizes:
        parts.append([output[start : start + size] for output in outputs])
        start += size
    return parts
