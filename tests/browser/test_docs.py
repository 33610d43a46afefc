"""The documentation pages in a real browser, with no internet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page that fails the test on a console error, a failed request or a foreign host."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    opened = context.new_page()
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    opened.on(
        "request",
        lambda request: (
            None if request.url.startswith((url, "data:", "blob:")) else faults.append(request.url)
        ),
    )
    yield opened
    context.close()
    assert faults == []


def test_swagger_ui_tries_an_operation_out(page: Page, url: str) -> None:
    """The docs page shows the operations, and the example of sample is answered when sent."""
    page.goto(f"{url}/docs")
    operation = page.locator("#operations-operations-sample")
    operation.locator("button.opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text(
        "200"
    )
    expect(operation.locator(".live-responses-table")).to_contain_text('"seed": 7')


def test_redoc_shows_the_operations(page: Page, url: str) -> None:
    """The ReDoc page renders the OpenAPI document."""
    page.goto(f"{url}/redoc")

    expect(page.get_by_text("/v1/interpolate").first).to_be_attached()
    expect(page.get_by_role("heading", name="latentd").first).to_be_visible()
