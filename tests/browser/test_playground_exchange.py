"""Input and output of the playground: files, clipboard, downloads, snippets and keyboard."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.support.browser_pages import Opener, read_image, wait_until_idle
from tests.support.image_files import read_npy, read_png, save

PANELS = ("#input", "#classify", "#reconstruct", "#denoise", "#code", "#line", ".batch >> nth=0")


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with the model `mnist` and permission to use the clipboard."""
    options = {"permissions": ["clipboard-read", "clipboard-write"], "allow_rejections": True}
    with visit(playground, **options) as opened:
        yield opened


def draw_seven() -> bytes:
    """Return a PNG file like a photo: a dark seven on light paper, not square, in colour."""
    image = Image.new("RGB", (300, 240), (250, 246, 240))
    ImageDraw.Draw(image).line(
        [(100, 60), (190, 60), (140, 190)], fill=(30, 30, 60), width=20, joint="curve"
    )
    return save(image)


def send_file(page: Page, event: str, content: bytes) -> None:
    """Dispatch the browser event of a dropped or pasted file."""
    page.evaluate(
        """([event, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "7.png", {type: "image/png"}));
            const domEvent = event === "drop"
                ? new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true})
                : new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true});
            document.body.dispatchEvent(domEvent);
        }""",
        [event, list(content)],
    )


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_image_file_is_centred_inverted_and_classified(page: Page, way: str) -> None:
    """A chosen, dropped or pasted photo of a digit is centred, inverted and classified."""
    if way == "choose":
        file = {"name": "7.png", "mimeType": "image/png", "buffer": draw_seven()}
        page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
    else:
        send_file(page, way, draw_seven())

    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("7")
    wait_until_idle(page)
    pixels = read_image(page, "#original")
    assert pixels.shape == (28, 28)
    assert pixels[14, 0] < 40
    assert pixels.max() > 200


def test_file_that_is_not_an_image_shows_an_error(page: Page) -> None:
    """A file that is not an image shows an error and keeps the previous image."""
    before = read_image(page, "#original")
    file = {"name": "x.png", "mimeType": "image/png", "buffer": b"not an image"}
    page.locator("#file").set_input_files(file)  # type: ignore[arg-type]

    expect(page.locator("#input .error")).to_contain_text("not a PNG or JPEG")
    assert (read_image(page, "#original") == before).all()


def copy_snippet(page: Page, panel: str, language: str) -> str:
    """Press a panel's copy button and return the content of the clipboard."""
    button = page.locator(panel).locator(".foot button").nth(("curl", "Python").index(language))
    expect(button).to_have_text(f"Copy as {language}")
    button.click()
    expect(button).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_snippets_reproduce_the_panels(page: Page) -> None:
    """Each panel's curl and Python snippets run unchanged and give the same result."""
    page.locator("#surprise").click()
    wait_until_idle(page)
    for panel in PANELS:
        by_curl = subprocess.run(
            ["bash", "-ec", copy_snippet(page, panel, "curl")], capture_output=True, check=True
        )
        script = copy_snippet(page, panel, "Python").replace("answer.json()", "answer.text")
        by_python = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

        assert json.loads(by_curl.stdout)
        assert json.loads(by_python.stdout) == json.loads(by_curl.stdout)


def test_batch_downloads_as_png_and_npy(page: Page, tmp_path: Path) -> None:
    """Downloads are API responses: a grid of all images as PNG, and an array as .npy."""
    batch = page.locator(".batch").first
    files = {}
    for format_, name in (("PNG", "Download PNG"), ("npy", "Download npy")):
        with page.expect_download() as download:
            batch.get_by_role("button", name=name).click()
        files[format_] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[format_])

    images = read_npy(files["npy"].read_bytes())
    grid = read_png(files["PNG"].read_bytes())
    assert files["npy"].name == "mnist-sample.npy"
    assert images.shape == (16, 1, 28, 28)
    assert grid.shape == (118, 118)
    assert np.abs(grid[:28, :28] / 255 - images[0, 0]).max() <= 1 / 255


def test_image_menu_works_with_the_keyboard(page: Page, tmp_path: Path) -> None:
    """The menu of an image opens, moves, acts and closes with keys, and restores the focus."""
    thumbnail = page.locator(".batch .picture").nth(2)
    source = thumbnail.locator("img").get_attribute("src")
    thumbnail.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#picture-menu button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#picture-menu")).to_be_hidden()
    expect(thumbnail).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Save as PNG")).to_be_focused()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "saved.png")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_until_idle(page)

    assert page.locator("#original").get_attribute("src") == source
    assert read_png((tmp_path / "saved.png").read_bytes()).shape == (28, 28)


def test_drawing_with_the_keyboard(page: Page) -> None:
    """The arrow keys draw after space has put the pen down, and Escape clears the pad."""
    pad = page.locator("#pad")
    pad.press("Escape")
    for _ in range(7):
        pad.press("ArrowUp")
    pad.press(" ")
    for _ in range(16):
        pad.press("ArrowDown")

    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("1")


def test_drawing_on_a_touch_screen(visit: Opener, playground: str) -> None:
    """A touch on the pad draws and does not scroll the page."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(playground, **phone) as page:
        page.locator("#wipe").tap()
        box = page.locator("#pad").bounding_box()
        assert box is not None
        before = page.evaluate("scrollY")
        touch = page.context.new_cdp_session(page)
        for step in range(12):
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * (0.2 + step / 20)
            touch.send(
                "Input.dispatchTouchEvent",
                {
                    "type": "touchMove" if step else "touchStart",
                    "touchPoints": [{"x": x, "y": y}],
                },
            )
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        expect(page.locator(".bars .likeliest > :first-child")).to_have_text("1")
        assert page.evaluate("scrollY") == before
