"""Each panel of the playground does its work, on a real server with the shipped bundles."""

import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser_pages import Opener, draw, read_picture, settle

RING = [(0.5 + 0.2 * np.sin(angle), 0.5 - 0.3 * np.cos(angle)) for angle in np.linspace(0, 6.3, 13)]
DIGITS = {
    "0": [RING],
    "1": [[(0.52, 0.2), (0.48, 0.8)]],
    "3": [
        [(0.35, 0.25), (0.5, 0.2), (0.63, 0.3), (0.58, 0.43), (0.45, 0.48)],
        [(0.45, 0.48), (0.62, 0.55), (0.65, 0.68), (0.52, 0.8), (0.34, 0.75)],
    ],
    "7": [[(0.3, 0.22), (0.68, 0.22), (0.45, 0.8)]],
}


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with MNIST."""
    with visit(playground) as opened:
        yield opened


def test_the_first_paint_needs_no_inference(page: Page) -> None:
    """With the API silent the page is all there: its text, its panels and the pad."""
    held: list[Route] = []
    asked: list[str] = []
    page.route("**/v1/models", lambda route: held.append(route))  # noqa: PLW0108 - a built-in is refused
    page.on("request", lambda request: asked.append(request.method))
    page.reload()

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#pad")).to_be_visible()
    expect(page.get_by_role("heading", level=2)).to_have_count(8)
    assert len(held) == 1
    assert set(asked) == {"GET"}
    held[0].continue_()
    expect(page.locator("#reconstruction")).to_be_enabled()
    settle(page)


def test_a_drawn_digit_is_recognised(page: Page) -> None:
    """Strokes are centred and scaled as MNIST's are, so that a small one aside is read too."""
    for digit, size in itertools.product(DIGITS, (1, 0.45)):
        draw(page, DIGITS[digit], size)
        settle(page)
        expect(page.locator(".bars .likeliest > :first-child")).to_have_text(digit)

    pixels = read_picture(page, "#original").astype(float)
    rows, columns = np.nonzero(pixels)
    centre = np.average(np.indices((28, 28)).reshape(2, -1), axis=1, weights=pixels.ravel())
    assert pixels.shape == (28, 28)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert np.abs(centre - 13.5).max() <= 0.5


def test_reconstruction_tells_the_strange_from_the_familiar(page: Page) -> None:
    """A sample of the model is familiar to it, a scribble is not; the error map shows where."""
    percentile = page.locator("#percentile")
    familiar = float(percentile.inner_text())
    draw(page, [[(0.1, 0.1), (0.9, 0.9), (0.1, 0.9), (0.9, 0.1), (0.5, 0.05), (0.5, 0.95)]])

    expect(page.locator("#verdict")).to_have_text("like nothing it was trained on")
    colours = page.locator("#error-map").evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    assert familiar < 90
    assert float(percentile.inner_text()) >= 99
    assert len(colours) == 4 * 28 * 28
    assert max(colours[0::4]) > 60
    assert max(colours[2::4]) > 60
    assert float(page.locator("#mse").inner_text()) > 0.01


def test_noise_is_added_and_taken_away(page: Page) -> None:
    """What comes back is nearer to the picture than what was spoiled, and more so with noise."""
    gains = []
    for level in ("0.2", "0.6"):
        page.locator("#noise").fill(level)
        expect(page.locator("#noise-value")).to_have_text(f"{level}0")
        settle(page)
        picture, noisy, clean = (
            read_picture(page, selector) / 255
            for selector in ("#original", "#noisy img", "#denoised img")
        )
        gains.append(np.mean((noisy - picture) ** 2) - np.mean((clean - picture) ** 2))

    assert 0 < gains[0] < gains[1]


def test_a_slider_decodes_live_and_keeps_one_request_in_flight(page: Page) -> None:
    """While the service is slow stale positions are skipped, and the last one is decoded."""
    before = read_picture(page, "#decoded img")
    page.evaluate(
        """() => {
            const send = window.fetch;
            window.sent = {most: 0, now: 0, latents: []};
            window.fetch = async (url, options) => {
                if (!String(url).includes("/decode")) return send(url, options);
                sent.latents.push(JSON.parse(options.body).latents[0]);
                sent.most = Math.max(sent.most, ++sent.now);
                await new Promise(resolve => setTimeout(resolve, 60));
                sent.now--;
                return send(url, options);
            };
        }"""
    )
    slider = page.get_by_role("slider", name="Number 1", exact=True)
    slider.evaluate(
        """async slider => {
            for (let step = 0; step <= 50; step++) {
                slider.value = Number(slider.min) + step / 50 * (slider.max - slider.min);
                slider.dispatchEvent(new Event("input", {bubbles: true}));
                await new Promise(resolve => setTimeout(resolve, 5));
            }
        }"""
    )
    settle(page)

    sent = page.evaluate("sent")
    latents = sent["latents"]
    assert sent["most"] == 1
    assert 2 <= len(latents) < 30
    assert latents[-1][0] == pytest.approx(float(slider.input_value()))
    assert latents[-1][0] == pytest.approx(float(slider.get_attribute("max") or "nan"))
    assert (read_picture(page, "#decoded img") != before).any()
    page.locator("#code-back").click()
    settle(page)
    assert (read_picture(page, "#decoded img") == before).all()


def test_the_other_space_has_other_numbers(page: Page) -> None:
    """With the VAE's space the sliders and the text change, and its networks answer."""
    with page.expect_request("**/v1/reconstruct?*space=vae*"):
        page.locator("#space").select_option("vae")

    sizes = page.locator("#space option").all_inner_texts()
    size = int(sizes[1].removeprefix("vae (").removesuffix(")"))
    expect(page.locator(".sliders input")).to_have_count(size)
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{size} numbers")
    settle(page)
    assert page.locator(".error:visible").count() == 0


def test_the_walk_is_between_any_two_pictures(page: Page) -> None:
    """The strip has the pictures that were sent to it at its ends, and as many steps as asked."""
    page.locator("#batches .picture").nth(3).click()
    page.get_by_role("menuitem", name="Start the walk here").click()
    settle(page)
    page.locator("#steps").fill("5")
    expect(page.locator(".strip .picture")).to_have_count(5)
    settle(page)

    wanted = read_picture(page, "#batches .picture >> nth=3 >> img").astype(float)
    start = read_picture(page, ".strip .picture >> nth=0 >> img").astype(float)
    end = read_picture(page, ".strip .picture >> nth=4 >> img").astype(float)
    assert np.abs(start - wanted).mean() < 16
    assert np.abs(end - wanted).mean() > 25


def test_sources_make_pictures_side_by_side(page: Page) -> None:
    """Every chosen source answers with as many as asked; the class and the seed are obeyed."""
    names = page.locator("#sources .chip").all_inner_texts()
    for box in page.locator("#sources input").all():
        box.check()
    page.locator("#count").fill("6")
    page.locator("#class").select_option("4")
    page.locator("#generate-form button.main").click()
    settle(page)

    assert page.locator(".batch h3").all_inner_texts() == names
    expect(page.locator(".batch .picture")).to_have_count(6 * len(names))
    density = page.locator(".batch").nth(names.index("kde")).locator(".picture")
    first = density.first.locator("img").get_attribute("src")
    density.first.click()
    page.get_by_role("menuitem", name="Use as my picture").click()
    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("4")
    page.locator("#seed").fill("8")
    page.locator("#seed").press("Enter")
    settle(page)
    assert density.first.locator("img").get_attribute("src") != first
    page.locator("#seed").fill("7")
    page.locator("#seed").press("Enter")
    settle(page)
    assert density.first.locator("img").get_attribute("src") == first


def test_another_model_takes_over(page: Page) -> None:
    """Every panel changes with the model, the drawing stays, and the address says which it is."""
    draw(page, DIGITS["7"])
    page.locator("#model").select_option("fashion-mnist")
    expect(page.locator(".bars li > :first-child").first).to_have_text("T-shirt/top")
    settle(page)

    assert re.search(r"#fashion-mnist@\d+$", page.url)
    assert page.locator(".error:visible").count() == 0
    expect(page.locator("#verdict")).to_have_text("like nothing it was trained on")
    page.reload()
    expect(page.locator("#model")).to_have_value("fashion-mnist")
    expect(page.locator(".bars .likeliest")).to_have_count(1)
