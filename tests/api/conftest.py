"""The whole application on a fake backend, behind a real server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fakes import IMAGE, open_fake_backend, write_bundle
from serving import run_server

from service.app import build_registry, create_app
from service.artifact import ImageSpec
from service.settings import Settings

COLOUR = ImageSpec(channels=3, height=6, width=6, background=(0.0, 0.0, 0.0))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a full bundle in two versions, a colour one and a bare one."""
    folder = tmp_path_factory.mktemp("store")
    write_bundle(folder, "full", image=IMAGE)
    write_bundle(folder, "full", image=IMAGE)
    write_bundle(folder, "colour", image=COLOUR)
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae"}))
    return folder


@pytest.fixture(scope="session")
def settings(store: Path) -> Settings:
    """Small limits, so that tests can pass them."""
    return Settings(
        models_store=store,
        default_model="full",
        max_body_bytes=100_000,
        max_images=20,
        max_pixels=40_000,
        max_samples=300,
    )


@pytest.fixture(scope="session")
def url(settings: Settings) -> Iterator[str]:
    """The base URL of the running service."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield base


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A client of the running service."""
    with httpx.Client(base_url=url) as opened:
        yield opened
