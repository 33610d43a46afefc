"""The documentation pages in a real browser without internet access."""

from playwright.sync_api import expect

from tests.support.browser_pages import Opener


def test_swagger_ui_runs_the_example_of_sample(visit: Opener, url: str) -> None:
    """The docs page lists the operations and runs the example of `sample`."""
    with visit(f"{url}/docs") as page:
        operation = page.locator("#operations-operations-sample")
        operation.locator("button.opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()

        status = operation.locator(".live-responses-table .response-col_status").last
        expect(status).to_contain_text("200")
        expect(operation.locator(".live-responses-table")).to_contain_text('"seed": 7')


def test_redoc_renders_the_document(visit: Opener, url: str) -> None:
    """The ReDoc page renders the OpenAPI document."""
    with visit(f"{url}/redoc") as page:
        expect(page.get_by_text("/v1/interpolate").first).to_be_attached()
        expect(page.get_by_role("heading", name="latentd").first).to_be_visible()
