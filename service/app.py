"""The composition root: settings in, application out."""

import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from service.api import health, models, pages
from service.api.engine import Engine, Lifecycle
from service.api.openapi import build_openapi
from service.api.operation import Operation
from service.api.operations import OPERATIONS
from service.api.routes import make_handlers, make_router
from service.artifact.remote.mirror import Mirror, locate_cache
from service.artifact.remote.objects import ObjectStore
from service.artifact.specs import GraphFormat
from service.http.api_keys import read_keys
from service.http.csrf import CsrfGuard
from service.http.limits import Limits
from service.http.load_shedding import LoadShedder
from service.http.memory import DecodingMemory, MemoryBudget
from service.http.problems import install_handlers
from service.http.wrapper import RequestWrapper
from service.inference.registry.registry import Registry
from service.inference.registry.store_watcher import watching
from service.inference.registry.trial import Trial
from service.inference.scheduler import Scheduler
from service.observability.tracing import start_tracing, stop_tracing
from service.oip import endpoints as oip
from service.oip import repository
from service.oip.tensors import InferRequest
from service.runtimes import DeviceChoice, Runtime, open_runtime
from service.runtimes.cpus import count_cpus
from service.runtimes.memory_limit import read_memory_limit
from service.settings import MIB, Settings

_BASE_BYTES = 192 * MIB
"""Memory of a worker without requests: the interpreter, libraries and the shipped bundles."""
_MIN_BYTES = 96 * MIB
_MAX_PENDING_BYTES = 256 * MIB
_MAX_DECODING_BYTES = 1024 * MIB


def create_app(
    settings: Settings | None = None,
    registry: Registry | None = None,
    operations: Sequence[Operation[Any]] = OPERATIONS,
) -> FastAPI:
    """Return the application; any ASGI server, on any number of machines, can run it.

    Args:
        settings: The settings; None reads them from the environment.
        registry: The models; None creates a registry by the settings and loads it at start-up.
        operations: The operation table.
    """
    settings = settings or Settings()
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    registry = registry or build_registry(settings)
    scheduler = Scheduler(count_threads(settings), settings.max_queue, settings.request_seconds)
    engine = Engine(registry, scheduler, _make_limits(settings), operations)
    if settings.otlp_endpoint:
        start_tracing(settings.otlp_endpoint)

    app = FastAPI(
        title="latentd",
        summary="Encode, decode, reconstruct, denoise, classify, sample: image autoencoders",
        version=version("latentd"),
        lifespan=lambda _: _run_background(engine, settings.watch_seconds),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_route,
        redirect_slashes=False,
        # Metrics, logs and traces are latentd's own; see `service.observability`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.engine = engine
    install_handlers(app)
    app.include_router(make_router(operations))
    for part in (models, oip, repository, health, pages):
        app.include_router(part.router)
    if settings.repository_control:
        guard = CsrfGuard(settings.cors_origins, has_keys=bool(keys))
        app.include_router(repository.control, dependencies=[Depends(guard)])
    pages.mount_static_files(app)
    app.add_middleware(
        RequestWrapper,
        handlers=make_handlers(operations, engine),
        load_shedder=LoadShedder(scheduler),
        memory_budget=MemoryBudget(settings.max_pending_bytes or divide_memory(settings)[0]),
        keys=keys,
        cors_origins=settings.cors_origins,
        is_traced=settings.otlp_endpoint is not None,
        root_path=settings.root_path,
    )
    # FastAPI's documented way to change the document.
    app.openapi = _make_openapi(app, engine, needs_key=bool(keys))  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def _run_background(
    engine: Engine, watch_seconds: float
) -> AsyncIterator[dict[str, Lifecycle]]:
    """Load the models, run the threads and watch the store while the application runs."""
    if not engine.registry.models:
        _load(engine.registry)
    engine.scheduler.start()
    async with watching(engine.registry, watch_seconds):
        yield {"lifecycle": engine.lifecycle}  # the server sets it to draining
    engine.scheduler.close()
    stop_tracing()


def build_registry(
    settings: Settings,
    open_backend: Callable[[GraphFormat, int, DeviceChoice], Runtime] | None = None,
) -> Registry:
    """Return a registry that has loaded nothing yet.

    Args:
        settings: The settings.
        open_backend: Opens a backend by name, threads and device; None for the installed ones,
            with a trial of new bundles and a limit on runs.

    Raises:
        DeviceError: a setting requires CUDA, which cannot be used.
        MissingExtraError: a setting needs a library that is not installed.
    """
    runtimes: dict[tuple[GraphFormat, DeviceChoice], Runtime] = {}
    open_any = open_backend or partial(open_runtime, run_seconds=settings.run_seconds)

    def runtime_for(name: str) -> Runtime:
        backend = settings.model_backends.get(name, settings.backend)
        device = settings.model_devices.get(name, settings.device)
        if (backend, device) not in runtimes:
            runtimes[backend, device] = open_any(backend, count_threads(settings), device)
        return runtimes[backend, device]

    for name in ("", *settings.model_devices):  # "" has the defaults
        if settings.model_devices.get(name, settings.device) == "cuda":
            runtime_for(name)  # fails once, instead of with each bundle
    folder, update = _open_store(settings)
    return Registry(
        folder,
        runtime_for,
        settings.versions,
        default=settings.default_model,
        skip_broken_models=settings.skip_broken_models,
        trial=_make_trial(settings, folder) if open_backend is None else None,
        update=update,
    )


def _open_store(settings: Settings) -> tuple[Path, Callable[[], str] | None]:
    """Return the folder of bundles, and the function that copies a remote store into it."""
    store = settings.models_store
    if isinstance(store, Path):
        return store, None
    folder = locate_cache(store, settings.store_cache)
    mirror = Mirror(ObjectStore(store), folder, settings.versions, settings.store_cache_bytes)
    return folder, mirror.update


def _make_trial(settings: Settings, folder: Path) -> Trial | None:
    if not settings.load_seconds:
        return None
    return Trial(folder, settings.load_seconds, _measure_memory(settings) // 2)


def _load(registry: Registry) -> None:
    """Load all models at start-up.

    The first process fails if the store is not valid. A worker process that replaces another does
    not: a bundle that was rejected since would make it fail and restart forever.
    """
    if multiprocessing.parent_process() is None:
        registry.load()
    else:
        registry.refresh()


def count_threads(settings: Settings) -> int:
    """Return the inference threads of a worker process: the setting, or its share of the CPUs."""
    return settings.threads or max(1, count_cpus() // settings.workers)


def divide_memory(settings: Settings) -> tuple[int, int]:
    """Return the bytes of a worker for bodies and responses, and for decoding.

    The rest is for the interpreter, the models and the runs of networks.
    """
    available = _measure_memory(settings)
    return min(_MAX_PENDING_BYTES, available // 3), min(_MAX_DECODING_BYTES, available // 2)


def _measure_memory(settings: Settings) -> int:
    """Return the bytes of a worker besides its models and libraries."""
    limit = settings.memory_bytes or read_memory_limit()
    processes = 1 if settings.workers == 1 else settings.workers + 1  # and the supervisor
    return max(_MIN_BYTES, limit // processes - _BASE_BYTES)


def _make_limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.max_body_bytes,
        images=settings.max_images,
        pixels=settings.max_pixels,
        samples=settings.max_samples,
        json_bytes=settings.max_json_bytes,
        json_values=settings.max_json_values,
        image_formats=frozenset(settings.image_formats),
        decoding=DecodingMemory(divide_memory(settings)[1]),
    )


def _name_route(route: APIRoute) -> str:
    """Return a route's operation id in OpenAPI, from which generated clients name their methods."""
    return f"{route.name}_of_version" if "{version}" in route.path else route.name


def _make_openapi(app: FastAPI, engine: Engine, *, needs_key: bool) -> Callable[[], dict[str, Any]]:
    described: list[str] = []

    def openapi() -> dict[str, Any]:
        nonlocal described
        registry = engine.registry
        default = registry.find_default()
        others = [model for versions in registry.models.values() for model in versions.values()]
        loaded = [] if default is None else [default, *others]
        digests = [model.bundle.digest for model in loaded]
        if app.openapi_schema is None or digests != described:
            app.openapi_schema = build_openapi(
                app,
                loaded,
                needs_key=needs_key,
                operations=engine.operations,
                requests=[InferRequest],
            )
            described = digests
        return app.openapi_schema

    return openapi
