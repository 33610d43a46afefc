"""State that all endpoints share: models, scheduler, limits and the state of the process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from service.api.operation import Operation
from service.api.operations import OPERATIONS
from service.http.limits import Limits
from service.http.problems import CONTEXT
from service.http.request_context import RequestContext
from service.inference.registry.registry import Registry
from service.inference.scheduler import Scheduler


@dataclass(slots=True)
class Lifecycle:
    """The state of the process: its server writes it, the readiness endpoints report it."""

    draining: bool = False
    """Whether it received the stop signal: it still responds, and should get no new requests."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Shared by all requests of an application, as `app.state.engine`."""

    registry: Registry
    scheduler: Scheduler
    limits: Limits
    operations: Sequence[Operation[Any]] = OPERATIONS
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    @property
    def missing(self) -> list[str]:
        """The reasons why the service is not ready; empty if it is ready."""
        draining = ["this process: draining"] if self.lifecycle.draining else []
        return draining + self.registry.missing


def get_engine(request: Request) -> Engine:
    """Return the engine of a request's application."""
    engine: Engine = request.app.state.engine
    return engine


def get_context(request: Request) -> RequestContext:
    """Return the context of a request that FastAPI routes."""
    context: RequestContext = request.scope["state"][CONTEXT]
    return context
