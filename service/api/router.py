"""How a request finds its operation, and the operation its parameters.

FastAPI asks route after route whether a path is theirs and resolves a route's dependencies anew
with every request. That takes longer than a small network runs. The routes of operations are
FastAPI's, for the document and for all but plain requests to them; but they read their query
themselves, and `Switch` finds them by one look into a mapping.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette._utils import get_route_path
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

P = TypeVar("P", bound=BaseModel)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_KEPT_QUERIES = 256
_LONGEST_KEPT = 256
"""Bytes; longer queries are read anew, or clients could fill the memory with them."""


class OperationRoute(APIRoute):
    """The route of a function that takes a request and its parameters, read from the query."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        endpoint = self.endpoint
        parameters = get_args(inspect.signature(endpoint).parameters["query"].annotation)[0]

        async def handle(request: Request) -> Response:
            query = request.scope["query_string"]
            answer: Response = await endpoint(request, read_query(parameters, query))
            return answer

        return handle


class Switch:
    """Leads plain requests to operations straight there; to be the innermost middleware."""

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], answers: Mapping[Any, Callable[..., Any]]
    ) -> None:
        """Wrap an application.

        Args:
            app: The application, which takes all other requests.
            routes: Routes, some of which are operations'.
            answers: The application's answers to errors, by their classes.
        """
        self._app = app
        self._routes = {
            route.path: (route, route.get_route_handler())
            for route in routes
            if isinstance(route, OperationRoute)
        }
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        found = scope["type"] == "http" and self._routes.get(get_route_path(scope))
        if not found or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"], handle = found
        request = Request(scope, receive, send)
        try:
            response = await handle(request)
        except Exception as error:  # noqa: BLE001 - raised again where nobody knows it
            response = self._answer(request, error)
        await response(scope, receive, send)

    def _answer(self, request: Request, error: Exception) -> Response:
        for ancestor in type(error).__mro__:
            if ancestor in self._answers and ancestor is not Exception:
                response: Response = self._answers[ancestor](request, error)
                return response
        raise error


def read_query(parameters: type[P], query: bytes) -> P:
    """Return the parameters in a query string, of repeated ones the last.

    Raises:
        RequestValidationError: one is unknown or wrong.
    """
    return (_read if len(query) > _LONGEST_KEPT else _read_kept)(parameters, query)


def _read(parameters: type[P], query: bytes) -> P:
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    try:
        return parameters.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(
            [{**flaw, "loc": ("query", *flaw["loc"])} for flaw in error.errors()]
        ) from error


_read_kept = lru_cache(_KEPT_QUERIES)(_read)
