"""What goes in and out of the playground: files, the clipboard, downloads, pictures sent around."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.support.browser_pages import Opener, read_picture, settle
from tests.support.image_files import read_npy, read_png, save

PANELS = ("#input", "#classify", "#reconstruct", "#denoise", "#code", "#line", ".batch >> nth=0")


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with MNIST, with leave to use the clipboard."""
    with visit(playground, permissions=["clipboard-read", "clipboard-write"]) as opened:
        yield opened


def draw_seven() -> bytes:
    """Return a photograph-like PNG file: a dark seven on light paper, not square, in colour."""
    picture = Image.new("RGB", (300, 240), (250, 246, 240))
    ImageDraw.Draw(picture).line(
        [(100, 60), (190, 60), (140, 190)], fill=(30, 30, 60), width=20, joint="curve"
    )
    return save(picture)


def send_file(page: Page, event: str, content: bytes) -> None:
    """Drop or paste a file, as a browser tells a page of it."""
    page.evaluate(
        """([event, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "7.png", {type: "image/png"}));
            const told = event === "drop"
                ? new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true})
                : new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true});
            document.body.dispatchEvent(told);
        }""",
        [event, list(content)],
    )


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_file_is_taken(page: Page, way: str) -> None:
    """Chosen, dropped or pasted, a dark drawing on light paper is fitted, turned and recognised."""
    if way == "choose":
        file = {"name": "7.png", "mimeType": "image/png", "buffer": draw_seven()}
        page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
    else:
        send_file(page, way, draw_seven())

    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("7")
    settle(page)
    pixels = read_picture(page, "#original")
    assert pixels.shape == (28, 28)
    assert pixels[14, 0] < 40
    assert pixels.max() > 200


def test_a_file_that_is_no_picture(page: Page) -> None:
    """It is said so, and the picture before it stays."""
    before = read_picture(page, "#original")
    file = {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("#file").set_input_files(file)  # type: ignore[arg-type]

    expect(page.locator("#input .error")).to_contain_text("no picture")
    assert (read_picture(page, "#original") == before).all()


def copy(page: Page, panel: str, language: str) -> str:
    """Press a panel's button and return what the clipboard then holds."""
    button = page.locator(panel).locator(".foot button").nth(("curl", "Python").index(language))
    expect(button).to_have_text(f"Copy as {language}")
    button.click()
    expect(button).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_what_is_on_screen_can_be_done_in_a_shell_and_in_python(page: Page) -> None:
    """Each panel's snippets run as they stand, and answer the same."""
    settle(page)
    for panel in PANELS:
        by_curl = subprocess.run(
            ["bash", "-ec", copy(page, panel, "curl")], capture_output=True, check=True
        )
        script = copy(page, panel, "Python").replace("answer.json()", "answer.text")
        by_python = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

        assert json.loads(by_curl.stdout)
        assert json.loads(by_python.stdout) == json.loads(by_curl.stdout)


def test_a_batch_is_saved_as_png_and_npy(page: Page, tmp_path: Path) -> None:
    """Downloads are the API's own answers: a grid of all pictures, and an array of them."""
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


def test_a_picture_is_sent_with_keys_alone(page: Page, tmp_path: Path) -> None:
    """The menu opens, moves, acts and closes by keys, and gives the focus back."""
    picture = page.locator(".batch .picture").nth(2)
    wanted = picture.locator("img").get_attribute("src")
    picture.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#picture-menu button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#picture-menu")).to_be_hidden()
    expect(picture).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Save as PNG")).to_be_focused()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "saved.png")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    settle(page)

    assert page.locator("#original").get_attribute("src") == wanted
    assert read_png((tmp_path / "saved.png").read_bytes()).shape == (28, 28)


def test_drawing_with_keys(page: Page) -> None:
    """Arrow keys draw on the pad once space has put the pen down, and Escape wipes it."""
    pad = page.locator("#pad")
    pad.press("Escape")
    for _ in range(7):
        pad.press("ArrowUp")
    pad.press(" ")
    for _ in range(16):
        pad.press("ArrowDown")

    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("1")


def test_drawing_with_a_finger(visit: Opener, playground: str) -> None:
    """On a touch screen a finger on the pad draws, and scrolls nothing."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(playground, **phone) as page:
        page.locator("#wipe").tap()
        box = page.locator("#pad").bounding_box()
        assert box is not None
        before = page.evaluate("scrollY")
        touch = page.context.new_cdp_session(page)
        for step in range(12):
            across, down = box["x"] + box["width"] / 2, box["y"] + box["height"] * (0.2 + step / 20)
            touch.send(
                "Input.dispatchTouchEvent",
                {
                    "type": "touchMove" if step else "touchStart",
                    "touchPoints": [{"x": across, "y": down}],
                },
            )
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        expect(page.locator(".bars .likeliest > :first-child")).to_have_text("1")
        assert page.evaluate("scrollY") == before
