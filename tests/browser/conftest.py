"""A real browser on the whole application with a fake backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import open_fake_backend, write_bundle
from needs import need_program
from playwright.sync_api import Browser, sync_playwright
from serving import run_server

from service.app import build_registry, create_app
from service.settings import Settings

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


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


# Not for the session: while it is open an event loop runs in the main thread, and tests that
# start one of their own fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path: Path | str = need_program("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield chromium
        chromium.close()
