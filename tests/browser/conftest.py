"""A real browser; the fake backend serves the documentation, the shipped bundles the playground."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from service.app import build_registry, create_app
from service.settings import Settings
from tests.support.browser_pages import Opener, open_page
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.mapped_bundles import copy_with_maps
from tests.support.requirements import require_program
from tests.support.servers import run_server

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
_MAP_POINTS = 300


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the running service."""
    store = tmp_path_factory.mktemp("store")
    write_bundle(store, "full")
    settings = Settings(models_store=store)
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield base


@pytest.fixture(scope="session")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a service with the shipped bundles on onnxruntime."""
    store = tmp_path_factory.mktemp("models_store")
    copy_with_maps(store, _MAP_POINTS)
    settings = Settings(models_store=store, default_model="mnist", threads=1, max_samples=80)
    with run_server(create_app(settings)) as base:
        yield f"{base}/"


# The scope is the module and not the session: Playwright runs an event loop in the main thread
# while the browser is open, and tests that start another event loop fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path: Path | str = require_program("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Opener:
    """Return `open_page` bound to the browser."""
    return functools.partial(open_page, browser)
