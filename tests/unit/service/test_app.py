"""The composition root: settings to an application, without a server."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service import app as composition
from service.app import build_registry, count_threads, create_app
from service.artifact.specs import GraphFormat
from service.errors import ArtifactError
from service.runtimes import DeviceChoice
from service.settings import Settings
from tests.support.fakes import FakeRuntime, open_fake_backend, write_bundle


def get(app: FastAPI, *paths: str) -> list[httpx.Response]:
    """Return the responses of an application after its start-up, as any ASGI server would."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            return [await client.get(path) for path in paths]

    return asyncio.run(send())


def test_models_are_loaded_at_start_up(tmp_path: Path) -> None:
    """A registry that is not loaded is loaded when the server starts, as in each worker."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path)

    app = create_app(settings, build_registry(settings, open_fake_backend))

    ready, listed = get(app, "/readyz", "/v1/models")
    assert ready.json()["status"] == "ready"
    assert [info["name"] for info in listed.json()["models"]] == ["full"]


def test_before_start_up_the_service_is_not_ready(tmp_path: Path) -> None:
    """Before models are loaded `/readyz` returns 503 with the reason."""
    settings = Settings(models_store=tmp_path)
    app = create_app(settings, build_registry(settings, open_fake_backend))

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/readyz")

    response = asyncio.run(send())

    assert response.status_code == 503
    assert response.json()["missing"] == ["every model: not loaded yet"]


def test_invalid_store_stops_the_server(tmp_path: Path) -> None:
    """Start-up fails with an empty store."""
    settings = Settings(models_store=tmp_path)

    with pytest.raises(ArtifactError, match="no bundle"):
        get(create_app(settings, build_registry(settings, open_fake_backend)), "/livez")


def test_restarted_worker_skips_rejected_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that was rejected since the start does not stop a new worker process."""
    write_bundle(tmp_path, "full")
    write_bundle(tmp_path, "full").folder.joinpath("encoder.onnx").write_bytes(b"changed")
    settings = Settings(models_store=tmp_path)
    monkeypatch.setattr(composition.multiprocessing, "parent_process", object)

    app = create_app(settings, build_registry(settings, open_fake_backend))

    ready, listed = get(app, "/readyz", "/v1/models")
    assert ready.status_code == 200
    assert [info["version"] for info in listed.json()["models"]] == [1]


def test_settings_are_read_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`create_app()` without arguments, as other ASGI servers call it, reads the environment."""
    monkeypatch.setenv("LATENTD_MODELS_STORE", str(tmp_path))
    monkeypatch.setenv("LATENTD_MAX_IMAGES", "3")

    app = create_app()

    assert app.state.engine.limits.images == 3


def test_each_model_has_its_backend(tmp_path: Path) -> None:
    """Models may use different backends, each of which is opened once with its threads."""
    for name in ("one", "two", "three"):
        write_bundle(tmp_path, name)
    settings = Settings(models_store=tmp_path, model_backends={"two": "torchscript"}, threads=3)
    opened = []

    def open_backend(backend: GraphFormat, threads: int, device: DeviceChoice) -> FakeRuntime:
        opened.append((backend, threads, device))
        return FakeRuntime(backend)

    registry = build_registry(settings, open_backend)
    registry.load()

    backends = {name: registry.find(name).backend for name in registry.models}
    assert backends == {"one": "onnx", "two": "torchscript", "three": "onnx"}
    assert opened == [("onnx", 3, "auto"), ("torchscript", 3, "auto")]


@pytest.mark.parametrize(
    ("cpus", "workers", "threads", "expected"),
    [(8, 1, 0, 8), (8, 4, 0, 2), (8, 3, 0, 2), (2, 4, 0, 1), (8, 4, 5, 5)],
)
def test_workers_share_the_cpus(
    monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int, threads: int, expected: int
) -> None:
    """A worker process has its share of the CPUs, at least one, or the number in the setting."""
    monkeypatch.setattr(composition, "count_cpus", lambda: cpus)

    assert count_threads(Settings(workers=workers, threads=threads)) == expected
