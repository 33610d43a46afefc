"""The composition root: settings to an application, without a server."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service import app as composition
from service.app import build_registry, count_threads, create_app
from service.artifact.manifest import GraphFormat
from service.errors import ArtifactError
from service.settings import Settings
from tests.support.fakes import FakeRuntime, open_fake_backend, write_bundle


def get(app: FastAPI, *paths: str) -> list[httpx.Response]:
    """Return an application's answers within its life, as any ASGI server would get them."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


def test_models_are_loaded_at_start_up(tmp_path: Path) -> None:
    """A registry that is not loaded is loaded when the server starts, as in each worker."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path)

    app = create_app(settings, build_registry(settings, open_fake_backend))

    ready, listed = get(app, "/readyz", "/v1/models")
    assert ready.json()["status"] == "ready"
    assert [info["name"] for info in listed.json()["models"]] == ["full"]


def test_before_start_up_the_service_is_not_ready(tmp_path: Path) -> None:
    """Until models are loaded `/readyz` is 503 and says so."""
    settings = Settings(models_store=tmp_path)
    app = create_app(settings, build_registry(settings, open_fake_backend))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/readyz")

    answer = asyncio.run(ask())

    assert answer.status_code == 503
    assert answer.json()["missing"] == ["every model: not loaded yet"]


def test_a_store_that_cannot_be_served_stops_the_server(tmp_path: Path) -> None:
    """Start-up fails where there is nothing to serve."""
    settings = Settings(models_store=tmp_path)

    with pytest.raises(ArtifactError, match="no bundle"):
        get(create_app(settings, build_registry(settings, open_fake_backend)), "/livez")


def test_a_worker_that_is_started_again_takes_what_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that was refused since the start keeps no new worker from serving the others."""
    write_bundle(tmp_path, "full")
    write_bundle(tmp_path, "full").folder.joinpath("encoder.onnx").write_bytes(b"changed")
    settings = Settings(models_store=tmp_path)
    monkeypatch.setattr(composition.multiprocessing, "parent_process", object)

    app = create_app(settings, build_registry(settings, open_fake_backend))

    ready, listed = get(app, "/readyz", "/v1/models")
    assert ready.status_code == 200
    assert [info["version"] for info in listed.json()["models"]] == [1]


def test_settings_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`create_app()` alone, as servers on other machines call it, reads the environment."""
    monkeypatch.setenv("LATENTD_MODELS_STORE", str(tmp_path))
    monkeypatch.setenv("LATENTD_MAX_IMAGES", "3")

    app = create_app()

    assert app.state.engine.limits.images == 3


def test_each_model_has_its_backend(tmp_path: Path) -> None:
    """Models may run on different backends, each of which is opened once, with its threads."""
    for name in ("one", "two", "three"):
        write_bundle(tmp_path, name)
    settings = Settings(models_store=tmp_path, model_backends={"two": "torchscript"}, threads=3)
    opened = []

    def open_backend(backend: GraphFormat, threads: int) -> FakeRuntime:
        opened.append((backend, threads))
        return FakeRuntime(backend)

    registry = build_registry(settings, open_backend)
    registry.load()

    backends = {name: registry.find(name).backend for name in registry.models}
    assert backends == {"one": "onnx", "two": "torchscript", "three": "onnx"}
    assert opened == [("onnx", 3), ("torchscript", 3)]


@pytest.mark.parametrize(
    ("cpus", "workers", "threads", "expected"),
    [(8, 1, 0, 8), (8, 4, 0, 2), (8, 3, 0, 2), (2, 4, 0, 1), (8, 4, 5, 5)],
)
def test_workers_share_the_cpus(
    monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int, threads: int, expected: int
) -> None:
    """A worker takes its share of the CPUs, at least one, or what it is told."""
    monkeypatch.setattr(composition, "count_cpus", lambda: cpus)

    assert count_threads(Settings(workers=workers, threads=threads)) == expected
