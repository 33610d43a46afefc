"""Save screenshots of a running service's playground to docs/images/playground-*.png.

usage: python docs/playground.py [URL]        (default http://127.0.0.1:8000)
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
SEVEN = ((0.3, 0.24), (0.68, 0.24), (0.46, 0.8))


def open_page(browser: Browser, url: str, model: str, scheme: str) -> Page:
    """Open the playground with a model, in the light or dark theme."""
    size = {"width": 1340, "height": 1060}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{url}/#{model}")
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until all requests of the page are complete."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)


def draw_seven(page: Page) -> None:
    """Draw a seven on the drawing pad."""
    page.locator("#wipe").click()
    box = page.locator("#pad").bounding_box() or {}
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    settle(page)


def save(page: Page, name: str, top: str | None = None) -> None:
    """Save a screenshot, scrolled so that the element `top` is at the top of the window."""
    if top is not None:
        page.locator(top).evaluate("e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 12)")
        page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")  # smaller without alpha
    image.save(IMAGES / f"playground-{name}.png", optimize=True)
    print(f"wrote playground-{name}.png")


def main(url: str) -> None:
    """Save both screenshots."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = open_page(browser, url, "mnist", "light")
        draw_seven(page)
        save(page, "draw")
        page = open_page(browser, url, "fashion-mnist", "dark")
        save(page, "walk", top="#code")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
