"""The latent map: pointing, picking, zooming and flattening, by mouse, finger and keys."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser_pages import Opener, draw, settle

COUNT_INK = """canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
}"""


@pytest.fixture
def page(visit: Opener, playground: str) -> Iterator[Page]:
    """The playground with MNIST, its map in view."""
    with visit(playground) as opened:
        opened.locator("#map").scroll_into_view_if_needed()
        settle(opened)
        yield opened


def find_dot(page: Page) -> tuple[float, float]:
    """Point at a dot of the map, going along rows; return where it was found."""
    box = page.locator("#map-canvas").bounding_box()
    assert box is not None
    for row in range(3, 8):
        for column in range(20, 81, 4):
            place = (
                box["x"] + column / 100 * box["width"],
                box["y"] + row / 10 * box["height"],
            )
            page.mouse.move(*place)
            if page.locator("#map-preview").is_visible():
                return place
    raise AssertionError("no dot was found")


def test_pointing_at_a_dot_shows_its_picture(page: Page) -> None:
    """The decoded picture and its class show while a dot is pointed at, and go with the pointer."""
    find_dot(page)
    settle(page)

    expect(page.locator("#map-preview img")).to_have_attribute(
        "src", re.compile("^data:image/png;base64,iVBOR")
    )
    assert page.locator("#map-preview span").inner_text() in {str(digit) for digit in range(10)}
    page.mouse.move(5, 5)
    expect(page.locator("#map-preview")).to_be_hidden()


def test_two_dots_make_a_walk(page: Page) -> None:
    """Picking two dots changes both ends of the strip."""
    before = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")
    page.mouse.click(*find_dot(page))
    settle(page)
    between = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")
    page.locator("#map-canvas").press("ArrowRight")
    page.locator("#map-canvas").press("Enter")
    settle(page)
    after = page.locator(".strip img").evaluate_all("pictures => pictures.map(p => p.src)")

    assert before[0] != between[0]
    assert before[-1] == between[-1]
    assert between[0] == after[0]
    assert between[-1] != after[-1]


def test_the_map_is_read_aloud_and_walked_with_keys(page: Page) -> None:
    """Arrow keys go from dot to dot, and what is there is told to screen readers."""
    canvas = page.locator("#map-canvas")
    told = set()
    for key in ("ArrowRight", "ArrowUp", "ArrowRight", "ArrowDown"):
        canvas.press(key)
        settle(page)
        told.add(page.locator("#map-said").inner_text())

    assert len(told) >= 3
    assert all(re.fullmatch(r"\d \d+ of \d+", text) for text in told)


def test_it_zooms_and_pans(page: Page) -> None:
    """Buttons, keys, the wheel and dragging move the map; zero shows all of it again."""
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
        canvas.press("0")
        assert canvas.evaluate(COUNT_INK) == pytest.approx(whole, rel=0.05)  # one may be pointed at
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert canvas.evaluate(COUNT_INK) < whole / 2
    page.locator("#zoom-all").click()


def test_both_projections_place_the_current_picture(page: Page) -> None:
    """By PCA and by t-SNE the cross moves when another digit is drawn, and while a slider is."""
    for projection in ("pca", "tsne"):
        page.locator("#projection").select_option(projection)
        shots = []
        for strokes in ([[(0.5, 0.2), (0.5, 0.8)]], [[(0.3, 0.2), (0.7, 0.2), (0.4, 0.8)]]):
            draw(page, strokes)
            settle(page)
            shots.append(page.locator("#map-canvas").evaluate("canvas => canvas.toDataURL()"))
        page.get_by_role("slider", name="Number 1", exact=True).press("End")
        settle(page)
        shots.append(page.locator("#map-canvas").evaluate("canvas => canvas.toDataURL()"))
        assert len(set(shots)) == 3


def test_a_space_without_a_map_hides_it(page: Page) -> None:
    """The panel is there for spaces that have a map, and only for them."""
    model = page.request.get(page.url.split("#")[0] + "v1/models/mnist").json()
    for space in ("vae", "autoencoder"):
        page.locator("#space").select_option(space)
        settle(page)
        expect(page.locator("#map")).to_be_visible(visible=space in model["maps"])
