"""Where the playground begins, what it preselects, and the directions of its sliders."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from service.app import build_registry, create_app
from service.artifact import list_bundles
from service.artifact.examples import Examples
from service.settings import Settings
from tests.support.browser_pages import Opener, read_image, wait_until_idle
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.image_files import save
from tests.support.mapped_bundles import SHIPPED, add_examples, remove_examples
from tests.support.servers import run_server

COUNT = 10


def draw_ones() -> Examples:
    """Return images of a 1 at several angles."""
    images = []
    for index in range(COUNT):
        image = Image.new("L", (28, 28))
        ImageDraw.Draw(image).line([(13 + index / 2, 5), (14, 23)], fill=255, width=3)
        images.append(np.asarray(image)[None])
    return Examples(np.stack(images), np.ones(COUNT, np.int64))


def copy_mnist(store: Path) -> None:
    """Copy the shipped bundle into a store, as version 1."""
    version = list_bundles(SHIPPED)["mnist"][0]
    shutil.copytree(SHIPPED / "mnist" / str(version), store / "mnist" / "1")


@pytest.fixture(scope="module")
def examples_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with a shipped bundle that has test images."""
    store = tmp_path_factory.mktemp("examples")
    copy_mnist(store)
    add_examples(store, "mnist", draw_ones())
    with run_server(create_app(Settings(models_store=store, threads=1))) as base:
        yield f"{base}/"


@pytest.fixture
def page(visit: Opener, examples_url: str) -> Iterator[Page]:
    """The playground of that service."""
    with visit(examples_url) as opened:
        yield opened


def test_page_opens_on_a_test_image(page: Page) -> None:
    """The first test image is shown and classified; another one is picked with a click."""
    stored = draw_ones().images[:, 0]
    wait_until_idle(page)

    assert np.array_equal(read_image(page, "#original"), stored[0])
    expect(page.locator(".bars .likeliest > :first-child")).to_have_text("1")
    expect(page.locator("#examples-title")).to_have_text("Test pictures")
    page.get_by_role("button", name="Picture 5: 1").click()
    wait_until_idle(page)
    assert np.array_equal(read_image(page, "#original"), stored[4])


def test_bundle_without_examples_shows_samples(visit: Opener, tmp_path: Path) -> None:
    """A bundle without test images says so and shows samples."""
    copy_mnist(tmp_path)
    remove_examples(tmp_path, "mnist")
    settings = Settings(models_store=tmp_path, threads=1)
    with run_server(create_app(settings)) as base, visit(f"{base}/") as page:
        wait_until_idle(page)
        expect(page.locator("#examples-title")).to_have_text("Made-up pictures")
        expect(page.locator("#examples .thumb")).to_have_count(24)
        expect(page.locator("#reconstruction")).to_be_enabled()


def test_sources_that_resemble_the_data_are_preselected(page: Page) -> None:
    """Preselected sources have three quarters of the recognisable images of the data."""
    model = page.evaluate("fetch('v1/models/mnist').then(response => response.json())")
    least = 0.75 * model["metrics"]["floor_recognisable"]["value"]
    quality = {each["name"]: each["quality"]["recognisable"]["value"] for each in model["sources"]}

    checked = page.locator("#sources .chip:has(:checked)").all_inner_texts()

    assert model["default_source"] in checked
    assert all(quality[name] >= least for name in checked)


def test_padding_is_explained_beside_the_score(page: Page) -> None:
    """A file of another shape is padded, and the page states the share of the padding."""
    hint = page.locator("#padding-said")
    wide = {
        "name": "wide.png",
        "mimeType": "image/png",
        "buffer": save(Image.new("L", (400, 100), 200)),
    }
    expect(hint).to_be_hidden()

    page.locator("#file").set_input_files(wide)  # type: ignore[arg-type]

    expect(hint).to_contain_text("75 % of the picture is padding")
    page.get_by_role("button", name="Picture 2: 1").click()
    expect(hint).to_be_hidden()


def test_more_sliders_on_demand(page: Page) -> None:
    """Twelve sliders are shown, in order of their effect, and the others on demand."""
    sliders = page.locator(".sliders input")
    expect(sliders).to_have_count(12)
    page.get_by_role("button", name="All 32 sliders").click()
    expect(sliders).to_have_count(32)
    page.get_by_role("button", name="Fewer sliders").click()
    expect(sliders).to_have_count(12)


def measure_effect(page: Page, index: int) -> float:
    """Return the mean change of the decoded image when a slider moves over its range."""
    slider = page.get_by_role("slider", name=f"Direction {index}", exact=True)
    images = []
    for key in ("Home", "End"):
        slider.press(key)
        wait_until_idle(page)
        images.append(read_image(page, "#decoded img").astype(float))
    page.locator("#code-back").click()
    wait_until_idle(page)
    return float(np.abs(images[1] - images[0]).mean())


def test_the_first_slider_has_more_effect_than_the_last(page: Page) -> None:
    """The first direction changes the decoded image more than the last."""
    wait_until_idle(page)
    page.get_by_role("button", name="All 32 sliders").click()

    assert measure_effect(page, 1) > 2 * measure_effect(page, 32)


def test_directions_of_long_codes(page: Page) -> None:
    """Codes of 16,384 numbers have orthonormal directions, the most varied first."""
    found = page.evaluate(
        """async () => {
            const {findDirections} = await import("./static/playground/directions.js");
            let state = 1;
            const random = () => (state = state * 48271 % 2147483647) / 2147483647 - 0.5;
            const codes = Array.from({length: 20}, () => {
                const [a, b] = [10 * random(), 3 * random()];
                const make = (_, axis) => 0.01 * random() + (axis % 2 ? a : b);
                return Array.from({length: 16384}, make);
            });
            const {axes, deviations} = findDirections(codes);
            return {axes: axes.slice(0, 3), deviations};
        }"""
    )

    axes, deviations = np.array(found["axes"]), np.array(found["deviations"])
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-6)
    assert len(deviations) <= 20
    assert (np.diff(deviations) <= 0).all()
    assert np.abs(axes[0, 1::2]).mean() > 10 * np.abs(axes[0, ::2]).mean()


@pytest.fixture(scope="module")
def classless_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with a fake bundle without classes."""
    store = tmp_path_factory.mktemp("fakes")
    write_bundle(store, "plain", without=frozenset({"classes"}))
    settings = Settings(models_store=store)
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield f"{base}/"


def test_bundle_without_classes(classless_url: str, visit: Opener) -> None:
    """A bundle without classes has no panel, legend or text about classes."""
    with visit(classless_url) as page:
        wait_until_idle(page)
        visible = page.locator("main").inner_text()

    assert "class" not in visible.lower()
