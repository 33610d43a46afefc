"""The documentation pages in a real browser without internet access."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import build_registry, create_app
from service.settings import Settings
from tests.support.browser_pages import Opener
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.servers import run_server


class StrippingProxy:
    """Removes the prefix `/ml` from paths, as a reverse proxy does; others are not its own."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            if not scope["path"].startswith("/ml/"):
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b"not below /ml/"})
                return
            raw = scope["raw_path"].removeprefix(b"/ml")
            scope = {**scope, "path": scope["path"].removeprefix("/ml"), "raw_path": raw}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service behind a proxy that strips a prefix, without `root_path`."""
    store = tmp_path_factory.mktemp("proxied")
    write_bundle(store, "full")
    settings = Settings(models_store=store)
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(StrippingProxy(create_app(settings, registry))) as base:  # type: ignore[arg-type]
        yield f"{base}/ml"


@pytest.mark.parametrize("place", ["url", "proxied"])
def test_swagger_ui_runs_the_example_of_sample(
    visit: Opener, request: pytest.FixtureRequest, place: str
) -> None:
    """The docs page lists the operations and runs the example of `sample`, also behind a prefix."""
    with visit(f"{request.getfixturevalue(place)}/docs") as page:
        operation = page.locator("#operations-operations-sample")
        operation.locator("button.opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()

        status = operation.locator(".live-responses-table .response-col_status").last
        expect(status).to_contain_text("200")
        expect(operation.locator(".live-responses-table")).to_contain_text('"seed": 7')


@pytest.mark.parametrize("place", ["url", "proxied"])
def test_redoc_renders_the_document(
    visit: Opener, request: pytest.FixtureRequest, place: str
) -> None:
    """The ReDoc page renders the OpenAPI document, also behind a prefix."""
    with visit(f"{request.getfixturevalue(place)}/redoc") as page:
        expect(page.get_by_text("/v1/interpolate").first).to_be_attached()
        expect(page.get_by_role("heading", name="latentd").first).to_be_visible()
