"""Pages in a real browser; a test fails on console errors, failed requests and foreign hosts."""

import base64
import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Request

from tests.support.image_files import read_png

Opener = Callable[..., contextlib.AbstractContextManager[Page]]
_ABORTED = "net::ERR_ABORTED"
_REJECTION = "Failed to load resource: the server responded with a status of 4"


@contextlib.contextmanager
def open_page(
    browser: Browser, address: str, *, allow_rejections: bool = False, **options: object
) -> Iterator[Page]:
    """Open a page; fail on a console error, a failed request or a request to another host.

    Args:
        browser: The browser.
        address: The URL of the page.
        allow_rejections: Ignore the console messages about responses with a 4xx status.
        options: Options of the browser context, such as `viewport`.
    """
    errors: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})  # type: ignore[arg-type]
    page = context.new_page()
    _watch(page, address, errors)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    yield page
    context.close()
    remaining = [text for text in errors if not (allow_rejections and text.startswith(_REJECTION))]
    assert not remaining, remaining


def _watch(page: Page, address: str, errors: list[str]) -> None:
    origin = "/".join(address.split("/")[:3])

    def record_foreign_request(request: Request) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            errors.append(request.url)

    def record_failure(request: Request) -> None:
        # The browser aborts pending requests when a page is reloaded or closed.
        if request.failure != _ABORTED:
            errors.append(f"failed: {request.url}: {request.failure}")

    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", record_failure)
    page.on("request", record_foreign_request)


def draw(page: Page, strokes: list[list[tuple[float, float]]], size: float = 1) -> None:
    """Clear the playground's drawing pad and draw with the mouse.

    Args:
        page: The playground.
        strokes: Lines through points, each (x, y) in [0, 1].
        size: Scale of all points: a value below 1 gives a small drawing in the upper left.
    """
    page.locator("#wipe").click()
    box = page.locator("#pad").bounding_box()
    assert box is not None
    for stroke in strokes:
        points = [
            (box["x"] + size * x * box["width"], box["y"] + size * y * box["height"])
            for x, y in stroke
        ]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=2)
        page.mouse.up()


def read_image(page: Page, selector: str) -> NDArray[np.uint8]:
    """Return the pixels of an image on the page, (H, W) or (H, W, 3)."""
    source = page.locator(selector).get_attribute("src") or ""
    return read_png(base64.b64decode(source.removeprefix("data:image/png;base64,")))


def wait_until_idle(page: Page) -> None:
    """Wait until no panel of the playground has been busy for 240 ms."""
    page.evaluate(
        """async () => {
            for (let idle = 0; idle < 6; idle++) {
                await new Promise(resolve => setTimeout(resolve, 40));
                if (document.querySelector("[aria-busy]")) idle = 0;
            }
        }"""
    )
