"""The composition root: settings in, application out."""

import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import models, oip, operations, system
from service.api.calls import Engine
from service.api.limits import Limits
from service.api.problems import install_handlers
from service.api.reference import build_openapi
from service.artifact.manifest import GraphFormat
from service.inference.admission import Admission
from service.inference.registry import Registry
from service.runtimes import Runtime, open_runtime
from service.runtimes.cpus import count_cpus
from service.settings import Settings

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_log = logging.getLogger("service.access")


def create_app(settings: Settings | None = None, registry: Registry | None = None) -> FastAPI:
    """Return the application; any ASGI server, on any number of machines, can run it.

    Args:
        settings: The settings; None reads them from the environment.
        registry: What to serve; None makes it from the settings and loads it at start-up.
    """
    settings = settings or Settings()
    served = registry or build_registry(settings)
    admission = Admission(count_threads(settings), settings.max_queue)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if not served.models:
            served.load()
        yield
        admission.close()

    app = FastAPI(
        title="latentd",
        summary="Encode, decode, reconstruct, denoise, classify, sample: image autoencoders",
        version=version("latentd"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_operation,
    )
    app.state.engine = Engine(served, admission, _limits(settings))
    install_handlers(app)
    for router in (operations.router, models.router, oip.router, system.router):
        app.include_router(router)
    system.mount_static(app)
    app.add_middleware(RequestLog)
    app.openapi = _openapi_of(app, served)  # type: ignore[method-assign]  # FastAPI's own way
    return app


def build_registry(
    settings: Settings, open_backend: Callable[[GraphFormat, int], Runtime] = open_runtime
) -> Registry:
    """Return a registry that is not loaded yet.

    Args:
        settings: The settings.
        open_backend: Gives a backend by name and threads; tests give a fake one.
    """
    runtimes: dict[GraphFormat, Runtime] = {}

    def runtime_for(name: str) -> Runtime:
        backend = settings.model_backends.get(name, settings.backend)
        if backend not in runtimes:
            runtimes[backend] = open_backend(backend, count_threads(settings))
        return runtimes[backend]

    return Registry(
        settings.models_store,
        runtime_for,
        settings.versions,
        default=settings.default_model,
        serve_good=settings.serve_good,
    )


def count_threads(settings: Settings) -> int:
    """Return a worker's inference threads: as set, or its share of the CPUs it may use."""
    return settings.threads or max(1, count_cpus() // settings.workers)


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.max_body_bytes,
        images=settings.max_images,
        pixels=settings.max_pixels,
        samples=settings.max_samples,
    )


def _name_operation(route: APIRoute) -> str:
    """Return an operation's id in OpenAPI, after which generated clients name their methods."""
    return f"{route.name}_of_version" if "{version}" in route.path else route.name


def _openapi_of(app: FastAPI, registry: Registry) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_openapi(app, registry)
        return app.openapi_schema

    return openapi


class RequestLog:
    """Gives every request one id, in its answer and in one line of the log."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        identifier = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identifier
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = identifier
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _log.info(
                "%s %s %d %.1fms id=%s",
                scope["method"],
                scope["path"].encode("unicode_escape").decode(),
                status,
                1000 * (time.perf_counter() - start),
                identifier,
            )
