"""Files of cameras and encoders have one result by curl, by the client and on the page."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from latentd_client import Client
from tests.support.browser_pages import Opener, read_image, wait_until_idle
from tests.support.caller_files import make_caller_files
from tests.support.image_files import (
    insert_segments,
    make_exif,
    make_orientation,
    make_segment,
    save,
)

QUERY = "invert=auto&top_k=10"
MEGAPIXELS = (4000, 3000)


def draw_seven() -> Image.Image:
    """Return a light seven on black, of levels that 4 bits hold."""
    image = Image.new("L", (112, 112))
    points = [(32, 26), (80, 26), (52, 92)]
    ImageDraw.Draw(image).line(points, fill=255, width=10, joint="curve")
    return image


def take_photo() -> bytes:
    """Return a photo of 12 megapixels, held sideways, of a dark seven on grey paper."""
    paper = Image.new("L", MEGAPIXELS[::-1], 215)
    points = [(1000, 1100), (2100, 1100), (1500, 2900)]
    ImageDraw.Draw(paper).line(points, fill=40, width=240, joint="curve")
    stored = paper.convert("RGB").transpose(Image.Transpose.ROTATE_90)
    assert stored.size == MEGAPIXELS
    exif = make_segment(0xE1, b"Exif\0\0" + make_exif(make_orientation(6)))
    return insert_segments(save(stored, "JPEG", quality=95), exif)


def make_canvas() -> bytes:
    """Return black ink on a transparent canvas, as a web page saves it."""
    seven = draw_seven()
    return save(Image.merge("LA", (Image.new("L", seven.size), seven)).convert("RGBA"))


SEVEN = draw_seven()
TURNED = SEVEN.transpose(Image.Transpose.ROTATE_180)
FILES = {
    **make_caller_files(SEVEN),
    "upside-down.jpg": insert_segments(
        save(TURNED, "JPEG", quality=95),
        make_segment(0xE1, b"Exif\0\0" + make_exif(make_orientation(3))),
    ),
    "photo.jpg": take_photo(),
    "canvas.png": make_canvas(),
    "photo.webp": save(SEVEN.convert("RGB"), "WEBP", lossless=True),
}
BROWSER_ONLY = {"photo.webp"}
"""Files of formats that a setting enables, which the page converts without it."""


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with the model `mnist`."""
    with visit(playground, allow_rejections=True) as opened:
        yield opened


def drop(page: Page, name: str, content: bytes) -> dict[str, Any]:
    """Drop a file on the page and return the response to its classification."""
    wait_until_idle(page)
    with page.expect_response(lambda r: "/v1/classify" in r.url and r.ok) as response:
        page.evaluate(
            """([name, text]) => {
                const content = Uint8Array.from(atob(text), char => char.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([content], name));
                const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
                document.body.dispatchEvent(new DragEvent("drop", options));
            }""",
            [name, base64.b64encode(content).decode()],
        )
    wait_until_idle(page)
    result: dict[str, Any] = response.value.json()
    return result


def send_by_curl(url: str, path: Path) -> dict[str, Any]:
    """Send a file with curl and return the response."""
    command = ["curl", "-sf", "-H", "Content-Type: image/jpeg", "--data-binary", f"@{path}", url]
    done = subprocess.run(command, capture_output=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", FILES)
def test_file_has_one_result(page: Page, playground: str, tmp_path: Path, name: str) -> None:
    """A file is a 7 with the same probabilities by curl, by the client and on the page."""
    path = tmp_path / name
    path.write_bytes(FILES[name])

    on_page = drop(page, name, FILES[name])["predictions"][0]

    assert on_page["label"] == "7"
    shown = read_image(page, "#original") / 255
    if name in BROWSER_ONLY:
        return
    by_curl = send_by_curl(f"{playground}v1/classify?{QUERY}", path)["predictions"][0]
    with Client(playground) as client:
        by_client = client.classify(path, top_k=10, invert="auto")[0]
        pixels = client.preprocess(path, invert="auto")[0, 0]
    assert on_page == by_curl
    assert by_client.top == {entry["label"]: entry["probability"] for entry in by_curl["top"]}
    assert np.abs(shown - pixels).max() < 1e-6
