"""Pages in a real browser that fail a test on what a visitor would not want."""

import base64
import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Request

from tests.support.image_files import read_png

Opener = Callable[..., contextlib.AbstractContextManager[Page]]
_GIVEN_UP = "net::ERR_ABORTED"
_REFUSAL = "Failed to load resource: the server responded with a status of 4"


@contextlib.contextmanager
def open_page(
    browser: Browser, address: str, *, refusals: bool = False, **options: object
) -> Iterator[Page]:
    """Open a page; fail on a console error, a failed request or a foreign host.

    Args:
        browser: The browser.
        address: The page's.
        refusals: Allow what a browser logs of itself where the service refuses a request.
        options: Of the browser's context, such as its `viewport`.
    """
    faults: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})  # type: ignore[arg-type]
    page = context.new_page()
    _watch(page, address, faults)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    yield page
    context.close()
    left = [fault for fault in faults if not (refusals and fault.startswith(_REFUSAL))]
    assert not left, left


def _watch(page: Page, address: str, faults: list[str]) -> None:
    origin = "/".join(address.split("/")[:3])

    def see(request: Request) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            faults.append(request.url)

    def fail(request: Request) -> None:
        # What is on its way while a page is loaded again or closed, the browser itself gives up.
        if request.failure != _GIVEN_UP:
            faults.append(f"failed: {request.url}: {request.failure}")

    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", fail)
    page.on("request", see)


def draw(page: Page, strokes: list[list[tuple[float, float]]], size: float = 1) -> None:
    """Wipe the playground's pad and draw with the mouse.

    Args:
        page: The playground.
        strokes: Lines through places, each (across, down) in [0, 1].
        size: Factor on all places: under 1 the drawing is small, and in the upper left.
    """
    page.locator("#wipe").click()
    box = page.locator("#pad").bounding_box()
    assert box is not None
    for stroke in strokes:
        places = [
            (box["x"] + size * across * box["width"], box["y"] + size * down * box["height"])
            for across, down in stroke
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=2)
        page.mouse.up()


def read_picture(page: Page, selector: str) -> NDArray[np.uint8]:
    """Return the pixels of a picture on the page, (H, W) or (H, W, 3)."""
    source = page.locator(selector).get_attribute("src") or ""
    return read_png(base64.b64decode(source.removeprefix("data:image/png;base64,")))


def settle(page: Page) -> None:
    """Wait until no panel of the playground has been busy for a while."""
    page.evaluate(
        """async () => {
            for (let calm = 0; calm < 6; calm++) {
                await new Promise(resolve => setTimeout(resolve, 40));
                if (document.querySelector("[aria-busy]")) calm = 0;
            }
        }"""
    )
