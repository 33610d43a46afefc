"""The composition root: settings in, application out."""

import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from starlette._utils import get_route_path

from service.api import health as system
from service.api import models, operations
from service.api import pages as playground
from service.api.openapi import build_openapi
from service.api.request_context import Engine, Lifecycle
from service.api.router import Switch
from service.artifact.manifest import GraphFormat
from service.http.access_log import RequestLog
from service.http.api_keys import read_keys
from service.http.csrf import OriginGuard
from service.http.limits import Limits
from service.http.load_shedding import Door
from service.http.problems import install_handlers
from service.http.security_headers import secure
from service.inference.admission import Admission
from service.inference.batching import QueueBatcher
from service.inference.registry import Registry
from service.inference.store_watcher import watching
from service.observability.tracing import start_tracing
from service.oip import endpoints as oip
from service.oip import repository
from service.oip.tensors import InferRequest
from service.runtimes import Runtime, open_runtime
from service.runtimes.cpus import count_cpus
from service.settings import Settings

_UNTRACED = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})


def create_app(settings: Settings | None = None, registry: Registry | None = None) -> FastAPI:
    """Return the application; any ASGI server, on any number of machines, can run it.

    Args:
        settings: The settings; None reads them from the environment.
        registry: What to serve; None makes it from the settings and loads it at start-up.
    """
    settings = settings or Settings()
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    served = registry or build_registry(settings)
    threads = count_threads(settings)
    admission = Admission(threads, settings.max_queue, settings.request_seconds)
    engine = Engine(served, admission, _limits(settings), QueueBatcher(threads))
    spans = start_tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Lifecycle]]:
        if not served.models:
            _load(served)
        admission.start()
        async with watching(served, settings.watch_seconds):
            yield {"lifecycle": engine.lifecycle}  # for the server: it knows when it must stop
        admission.close()
        if spans is not None:
            spans.shutdown()

    app = FastAPI(
        title="latentd",
        summary="Encode, decode, reconstruct, denoise, classify, sample: image autoencoders",
        version=version("latentd"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_operation,
        telemetry=_describe_telemetry(spans),
    )
    app.state.engine = engine
    install_handlers(app)
    for part in (operations, models, oip, repository, system, playground):
        app.include_router(part.router)
    if settings.repository_control:
        guard = OriginGuard(settings.cors_origins, has_keys=bool(keys))
        app.include_router(repository.control, dependencies=[Depends(guard)])
    playground.mount_playground(app)  # before the folder that it lies in
    system.mount_static(app)
    if spans is None:  # FastAPI names spans by routes that it finds itself
        app.add_middleware(Switch, routes=operations.router.routes, answers=app.exception_handlers)
    app.add_middleware(Door, admission=admission, most=settings.max_pending_bytes)
    secure(app, keys, settings.cors_origins)
    app.add_middleware(RequestLog, traced=spans is not None)
    # FastAPI's own way to change the document.
    app.openapi = _openapi_of(app, served, needs_key=bool(keys))  # type: ignore[method-assign]
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
        skip_broken_models=settings.skip_broken_models,
    )


def _load(registry: Registry) -> None:
    """Load at the start, where everything must be good; or as a worker that was started again.

    Its first process checked the whole store. What was refused since is no reason to fail: the
    worker would be started and would fail for ever, while its siblings serve.
    """
    if multiprocessing.parent_process() is None:
        registry.load()
    else:
        registry.refresh()


def count_threads(settings: Settings) -> int:
    """Return a worker's inference threads: as set, or its share of the CPUs it may use."""
    return settings.threads or max(1, count_cpus() // settings.workers)


def _describe_telemetry(spans: TracerProvider | None) -> TelemetryConfig:
    """Return what FastAPI itself tells OpenTelemetry: requests' spans, or nothing, at no cost."""
    return {
        "tracing": spans is not None,
        "tracer_provider": spans,
        "operation_spans": False,
        "metrics": False,  # Prometheus reads them
        "logs": False,  # they would hold exceptions' texts
        "auto_configure": False,
        "exclude": lambda scope: get_route_path(scope) in _UNTRACED,
    }


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.max_body_bytes,
        images=settings.max_images,
        pixels=settings.max_pixels,
        samples=settings.max_samples,
        json_bytes=settings.max_json_bytes,
        json_values=settings.max_json_values,
    )


def _name_operation(route: APIRoute) -> str:
    """Return an operation's id in OpenAPI, after which generated clients name their methods."""
    return f"{route.name}_of_version" if "{version}" in route.path else route.name


def _openapi_of(
    app: FastAPI, registry: Registry, *, needs_key: bool
) -> Callable[[], dict[str, Any]]:
    described: list[str] = []

    def openapi() -> dict[str, Any]:
        nonlocal described
        default = registry.find_default()
        others = [model for versions in registry.models.values() for model in versions.values()]
        models = [] if default is None else [default, *others]
        digests = [model.bundle.digest for model in models]
        if app.openapi_schema is None or digests != described:
            app.openapi_schema = build_openapi(
                app, models, needs_key=needs_key, requests=[InferRequest]
            )
            described = digests
        return app.openapi_schema

    return openapi
