"""The latent map: hovering, selecting, zooming and projections, by mouse and keyboard."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser_pages import Opener, draw, wait_until_idle

COUNT_INK = """canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
}"""


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with the model `mnist`, scrolled to its map."""
    with visit(playground) as opened:
        opened.locator("#map").scroll_into_view_if_needed()
        wait_until_idle(opened)
        yield opened


def find_dot(page: Page) -> tuple[float, float]:
    """Hover over the map row by row until the preview shows; return that position."""
    box = page.locator("#map-canvas").bounding_box()
    assert box is not None
    for row in range(3, 8):
        for column in range(20, 81, 4):
            position = (
                box["x"] + column / 100 * box["width"],
                box["y"] + row / 10 * box["height"],
            )
            page.mouse.move(*position)
            if page.locator("#map-preview").is_visible():
                return position
    raise AssertionError("No dot found on the map.")


def test_hovering_a_dot_shows_its_image(page: Page) -> None:
    """Hovering a dot shows its decoded image and class; leaving the dot hides them."""
    find_dot(page)
    wait_until_idle(page)

    expect(page.locator("#map-preview img")).to_have_attribute(
        "src", re.compile("^data:image/png;base64,iVBOR")
    )
    assert page.locator("#map-preview span").inner_text() in {str(digit) for digit in range(10)}
    page.mouse.move(5, 5)
    expect(page.locator("#map-preview")).to_be_hidden()


def test_two_dots_set_the_ends_of_the_interpolation(page: Page) -> None:
    """Selecting two dots sets both ends of the interpolation strip."""
    before = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")
    page.mouse.click(*find_dot(page))
    wait_until_idle(page)
    between = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")
    page.locator("#map-canvas").press("ArrowRight")
    page.locator("#map-canvas").press("Enter")
    wait_until_idle(page)
    after = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")

    assert before[0] != between[0]
    assert before[-1] == between[-1]
    assert between[0] == after[0]
    assert between[-1] != after[-1]


def test_map_works_with_keys_and_screen_readers(page: Page) -> None:
    """The arrow keys move between dots, and a text describes the dot to screen readers."""
    canvas = page.locator("#map-canvas")
    descriptions = set()
    for key in ("ArrowRight", "ArrowUp", "ArrowRight", "ArrowDown"):
        canvas.press(key)
        wait_until_idle(page)
        descriptions.add(page.locator("#map-said").inner_text())

    assert len(descriptions) >= 3
    assert all(re.fullmatch(r"\d \d+ of \d+", text) for text in descriptions)


def test_map_zooms_and_pans(page: Page) -> None:
    """Buttons, keys, the wheel and dragging move the map; zero resets the view."""
    canvas = page.locator("#map-canvas")
    whole = canvas.evaluate(COUNT_INK)
    for zoom in (
        lambda: page.locator("#zoom-in").click(click_count=4),
        lambda: [canvas.press("+") for _ in range(4)],
        lambda: (canvas.focus(), canvas.hover(), page.mouse.wheel(0, -500)),
    ):
        zoom()
        page.wait_for_timeout(50)
        assert canvas.evaluate(COUNT_INK) != pytest.approx(whole, rel=0.05)
        canvas.press("0")  # the view can differ by the highlight of one dot
        assert canvas.evaluate(COUNT_INK) == pytest.approx(whole, rel=0.05)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert canvas.evaluate(COUNT_INK) < whole / 2
    page.locator("#zoom-all").click()


def test_projections_show_the_current_image(page: Page) -> None:
    """In PCA and t-SNE the marker moves with a new drawing and with a slider."""
    for projection in ("pca", "tsne"):
        page.locator("#projection").select_option(projection)
        shots = []
        for strokes in ([[(0.5, 0.2), (0.5, 0.8)]], [[(0.3, 0.2), (0.7, 0.2), (0.4, 0.8)]]):
            draw(page, strokes)
            wait_until_idle(page)
            shots.append(page.locator("#map-canvas").evaluate("canvas => canvas.toDataURL()"))
        page.get_by_role("slider", name="Direction 1", exact=True).press("End")
        wait_until_idle(page)
        shots.append(page.locator("#map-canvas").evaluate("canvas => canvas.toDataURL()"))
        assert len(set(shots)) == 3


def test_map_is_hidden_for_a_space_without_one(page: Page) -> None:
    """The panel is visible only for spaces with a map."""
    model = page.request.get(page.url.split("#")[0] + "v1/models/mnist").json()
    for space in ("vae", "autoencoder"):
        page.locator("#space").select_option(space)
        wait_until_idle(page)
        expect(page.locator("#map")).to_be_visible(visible=space in model["maps"])
