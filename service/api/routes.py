"""FastAPI routes of the operations, for the OpenAPI document and for 405 responses.

`service.http.wrapper` dispatches requests to operations before FastAPI sees them.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.engine import Engine
from service.api.handler import OperationHandler
from service.api.openapi import describe_operation
from service.api.operation import Operation


def make_handlers(
    operations: Iterable[Operation[Any]], engine: Engine
) -> dict[str, OperationHandler[Any]]:
    """Return the handlers of operations by path."""
    return {
        f"/v1/{operation.name}": OperationHandler(operation, engine) for operation in operations
    }


def make_router(operations: Iterable[Operation[Any]]) -> APIRouter:
    """Return a router with a route for each operation."""
    router = APIRouter(prefix="/v1", tags=["operations"])
    for operation in operations:
        router.add_api_route(
            f"/{operation.name}",
            _make_endpoint(operation),
            methods=["POST"],
            name=operation.name,
            summary=operation.summary,
            description=operation.description,
            **describe_operation(operation),
        )
    return router


def _make_endpoint(operation: Operation[Any]) -> Any:  # noqa: ANN401 - FastAPI reads its signature
    """Return a function whose signature documents the parameters; requests do not reach it."""
    parameters = operation.parameters

    async def endpoint(query: Annotated[parameters, Query()]) -> None:  # type: ignore[valid-type]
        raise NotImplementedError

    return endpoint
