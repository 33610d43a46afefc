"""Each panel of the playground, on a real server with the shipped bundles."""

import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser_pages import Opener, draw, read_image, wait_until_idle

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
    """The playground with the model `mnist`."""
    with visit(playground) as opened:
        yield opened


def test_first_paint_requires_no_inference(page: Page) -> None:
    """The text, the panels and the drawing pad show before the API responds."""
    pending: list[Route] = []
    methods: list[str] = []
    page.route("**/v1/models", lambda route: pending.append(route))  # noqa: PLW0108 - Playwright rejects a built-in
    page.on("request", lambda request: methods.append(request.method))
    page.reload()

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#pad")).to_be_visible()
    expect(page.get_by_role("heading", level=2)).to_have_count(10)
    assert len(pending) == 1
    assert set(methods) == {"GET"}
    pending[0].continue_()
    expect(page.locator("#reconstruction")).to_be_enabled()
    wait_until_idle(page)


def test_drawn_digit_is_classified(page: Page) -> None:
    """Strokes are centred and scaled as in MNIST, so a small off-centre digit is classified too."""
    for digit, size in itertools.product(DIGITS, (1, 0.45)):
        draw(page, DIGITS[digit], size)
        wait_until_idle(page)
        expect(page.locator(".bars .likeliest > :first-child")).to_have_text(digit)

    pixels = read_image(page, "#original").astype(float)
    rows, columns = np.nonzero(pixels)
    centre = np.average(np.indices((28, 28)).reshape(2, -1), axis=1, weights=pixels.ravel())
    assert pixels.shape == (28, 28)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert np.abs(centre - 13.5).max() <= 0.5


def test_reconstruction_separates_samples_from_scribbles(page: Page) -> None:
    """A sample has a low anomaly percentile, and a scribble a high one with a coloured map."""
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


def test_denoising_reduces_the_error(page: Page) -> None:
    """Denoising reduces the error of a noisy image, and more so for more noise."""
    gains = []
    for level in ("0.2", "0.6"):
        page.locator("#noise").fill(level)
        expect(page.locator("#noise-value")).to_have_text(f"{level}0")
        wait_until_idle(page)
        original, noisy, denoised = (
            read_image(page, selector) / 255
            for selector in ("#original", "#noisy img", "#denoised img")
        )
        gains.append(np.mean((noisy - original) ** 2) - np.mean((denoised - original) ** 2))

    assert 0 < gains[0] < gains[1]


def test_slider_keeps_one_request_in_flight(page: Page) -> None:
    """A slider keeps one request in flight, skips stale positions and decodes the last one."""
    before = read_image(page, "#decoded img")
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
    slider = page.get_by_role("slider", name="Direction 1", exact=True)
    slider.evaluate(
        """async slider => {
            for (let step = 0; step <= 50; step++) {
                slider.value = Number(slider.min) + step / 50 * (slider.max - slider.min);
                slider.dispatchEvent(new Event("input", {bubbles: true}));
                await new Promise(resolve => setTimeout(resolve, 5));
            }
        }"""
    )
    wait_until_idle(page)

    sent = page.evaluate("sent")
    latents = sent["latents"]
    assert sent["most"] == 1
    assert 2 <= len(latents) < 30
    assert float(slider.input_value()) == pytest.approx(float(slider.get_attribute("max") or "nan"))
    moves = np.diff(np.array(latents), axis=0)
    assert np.linalg.matrix_rank(moves, tol=1e-6 * np.abs(moves).max()) == 1
    assert (read_image(page, "#decoded img") != before).any()
    page.locator("#code-back").click()
    wait_until_idle(page)
    assert (read_image(page, "#decoded img") == before).all()


def test_space_selection_changes_the_latents(page: Page) -> None:
    """Selecting the VAE's space changes the sliders, the text and the requests."""
    with page.expect_request("**/v1/reconstruct?*space=vae*"):
        page.locator("#space").select_option("vae")

    sizes = page.locator("#space option").all_inner_texts()
    size = int(sizes[1].removeprefix("vae (").removesuffix(")"))
    expect(page.locator(".sliders input")).to_have_count(min(size, 12))
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{size} numbers")
    wait_until_idle(page)
    assert page.locator(".error:visible").count() == 0


def test_interpolation_between_two_selected_images(page: Page) -> None:
    """The strip has the selected images at its ends and the selected number of steps."""
    page.locator("#batches .picture").nth(3).click()
    page.get_by_role("menuitem", name="Start the walk here").click()
    wait_until_idle(page)
    page.locator("#steps").fill("5")
    expect(page.locator(".strip .picture")).to_have_count(5)
    wait_until_idle(page)

    sent_image = read_image(page, "#batches .picture >> nth=3 >> img").astype(float)
    start = read_image(page, ".strip .picture >> nth=0 >> img").astype(float)
    end = read_image(page, ".strip .picture >> nth=4 >> img").astype(float)
    assert np.abs(start - sent_image).mean() < 16
    assert np.abs(end - sent_image).mean() > 25


def test_each_selected_source_generates_images(page: Page) -> None:
    """Each selected source generates the number of images, with the selected class and seed."""
    names = page.locator("#sources .chip").all_inner_texts()
    for box in page.locator("#sources input").all():
        box.check()
    page.locator("#count").fill("6")
    page.locator("#class").select_option("4")
    page.locator("#generate-form button.main").click()
    wait_until_idle(page)

    assert page.locator(".batch h3").all_inner_texts() == names
    expect(page.locator(".batch .picture")).to_have_count(6 * len(names))
    density = page.locator(".batch").nth(names.index("kde")).locator(".picture")
    first = density.first.locator("img").get_attribute("src")
    density.first.click()
    page.get_by_role("menuitem", name="Use as my picture").click()
    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("4")
    page.locator("#seed").fill("8")
    page.locator("#seed").press("Enter")
    wait_until_idle(page)
    assert density.first.locator("img").get_attribute("src") != first
    page.locator("#seed").fill("7")
    page.locator("#seed").press("Enter")
    wait_until_idle(page)
    assert density.first.locator("img").get_attribute("src") == first


def test_model_selection_updates_every_panel(page: Page) -> None:
    """Selecting a model updates every panel and the address, and keeps the drawing."""
    draw(page, DIGITS["7"])
    page.locator("#model").select_option("fashion-mnist")
    expect(page.locator(".bars li > :first-child").first).to_have_text("T-shirt/top")
    wait_until_idle(page)

    assert re.search(r"#fashion-mnist@\d+$", page.url)
    assert page.locator(".error:visible").count() == 0
    expect(page.locator("#verdict")).to_have_text("like nothing it was trained on")
    page.reload()
    expect(page.locator("#model")).to_have_value("fashion-mnist")
    expect(page.locator(".bars .likeliest")).to_have_count(1)
