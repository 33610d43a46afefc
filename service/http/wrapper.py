"""The request wrapper: everything that applies to every request, in one place.

It gives each request an id, checks its API key, sheds load, adds the headers that every response
has, maps errors to responses, and counts, logs and traces the request. Operations are dispatched
from here by one dictionary lookup: FastAPI tries route after route and resolves dependencies for
each request, which takes longer than a small network runs. FastAPI serves all other routes.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from fastapi import Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import OverloadedError
from service.http.access_log import find_route, log_request
from service.http.api_keys import Key
from service.http.key_guard import KeyGuard
from service.http.load_shedding import LoadShedder
from service.http.memory import MemoryBudget
from service.http.problems import CONTEXT, make_error_response
from service.http.request_context import RequestContext
from service.observability import metrics
from service.observability.tracing import capture_context, set_response, start_request_span

Handler: TypeAlias = Callable[[RequestContext], Coroutine[Any, Any, Response]]

_UNTRACED_PATHS = frozenset(
    {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
_CORS_REQUEST_HEADERS = (
    "Authorization",
    "X-API-Key",
    "X-Request-ID",
    "X-Requested-With",
    "Inference-Header-Content-Length",
    "Content-Encoding",
    "Cache-Control",
    "If-None-Match",
    "traceparent",
    "tracestate",
    "baggage",
)
_CORS_RESPONSE_HEADERS = (
    "X-Model",
    "X-Model-Digest",
    "X-Seed",
    "X-Request-ID",
    "Retry-After",
    "Inference-Header-Content-Length",
)


class RequestWrapper:
    """ASGI middleware around the application; see the module's docstring."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        handlers: Mapping[str, Handler],
        load_shedder: LoadShedder,
        memory_budget: MemoryBudget,
        keys: Sequence[Key],
        cors_origins: Sequence[str],
        is_traced: bool,
        root_path: str = "",
    ) -> None:
        """Wrap an application.

        Args:
            app: Serves the requests without a handler.
            handlers: The operations' handlers of POST requests, by path.
            load_shedder: Rejects requests early under overload.
            memory_budget: Bounds the bytes of all bodies and responses in memory.
            keys: API keys; without any, every client may use every path.
            cors_origins: Origins whose pages may send requests from a browser; "*" for all.
            is_traced: Whether requests have spans.
            root_path: Path prefix that a proxy strips; it may also be left in place.
        """
        self._app = app
        self._handlers = handlers
        self._load_shedder = load_shedder
        self._memory_budget = memory_budget
        self._key_guard = KeyGuard(keys) if keys else None
        self._is_traced = is_traced
        self._root_path = root_path
        self._dispatch: ASGIApp = self._serve
        if cors_origins:
            # Around authorization: a browser sends its preflight request without a key. No
            # credentials: a key is not a cookie.
            self._dispatch = CORSMiddleware(
                self._serve,
                allow_origins=cors_origins,
                allow_methods=("GET", "HEAD", "POST"),
                allow_headers=_CORS_REQUEST_HEADERS,
                expose_headers=_CORS_RESPONSE_HEADERS,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._root_path:
            _add_prefix(scope, self._root_path)
        context = RequestContext(scope, receive, send, self._memory_budget, log_request)
        scope.setdefault("state", {})[CONTEXT] = context
        metrics.IN_FLIGHT.inc()
        try:
            if self._is_traced and context.path not in _UNTRACED_PATHS:
                await self._trace(context)
            else:
                await self._dispatch(scope, context.receive, context.send)
        finally:
            if not context.is_ended:
                context.end()
            context.release()
            metrics.IN_FLIGHT.dec()

    async def _trace(self, context: RequestContext) -> None:
        """Serve a request within its span."""
        with start_request_span(context.scope) as span:
            context.trace = capture_context()
            try:
                await self._dispatch(context.scope, context.receive, context.send)
            finally:
                set_response(span, context.scope, find_route(context)[1], context.status)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        context: RequestContext = scope["state"][CONTEXT]
        try:
            if self._key_guard is not None:
                self._key_guard.check(context)
            self._load_shedder.check(context)
            handler = self._handlers.get(context.path) if scope["method"] == "POST" else None
            if handler is None:
                await self._app(context.routed_scope, receive, send)
                return
            response = await handler(context)
        except Exception as error:
            if context.status is not None:  # too late for another response
                raise
            if isinstance(error, OverloadedError):
                self._load_shedder.remember(context)
            response = make_error_response(context, error)
        await response(scope, receive, send)


def _add_prefix(scope: Scope, root_path: str) -> None:
    """Add the prefix that a proxy stripped: ASGI paths contain the root path."""
    if not f"{scope['path']}/".startswith(f"{root_path}/"):
        scope["path"] = root_path + scope["path"]
    scope["root_path"] = root_path
