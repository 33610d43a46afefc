"""The playground with API keys, path prefixes, other bundles and failures."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import build_registry, create_app
from service.artifact import ImageSpec
from service.http.api_keys import INFER, make_key
from service.settings import Settings
from tests.support.browser_pages import Opener, draw, read_image, wait_until_idle
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.servers import run_server

COLOUR = ImageSpec(channels=3, height=12, width=20, background=(1.0, 0.9, 0.2))
TEXT, KEY = make_key("visitor", frozenset({INFER}))
_READ_HEAT = """() => [...document.querySelector("#heat-map").getContext("2d")
    .getImageData(2, 2, 1, 1).data].slice(0, 3)"""
SCRIBBLE = [[(0.2, 0.2), (0.8, 0.8)]]


@contextlib.contextmanager
def serve(store: Path, prefix: str = "", **settings: object) -> Iterator[str]:
    """Serve a store with a fake backend; yield the address of the playground."""
    service_settings = Settings(models_store=store, **settings)  # type: ignore[arg-type]
    registry = build_registry(service_settings, open_fake_backend)
    registry.load()
    app = create_app(service_settings, registry)
    with run_server(Starlette(routes=[Mount(prefix, app)]) if prefix else app) as base:  # type: ignore[arg-type]
        yield f"{base}{prefix}/"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of a full bundle, a colour bundle and a minimal bundle."""
    folder = tmp_path_factory.mktemp("store")
    write_bundle(folder, "full")
    write_bundle(folder, "full")
    write_bundle(folder, "colour", image=COLOUR)
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "extras"}))
    return folder


def test_api_key_is_requested_and_kept_in_the_tab(visit: Opener, store: Path) -> None:
    """The page requests an API key, reports an invalid one, and keeps the key in the tab only."""
    with (
        serve(store, default_model="full", api_keys=KEY.to_line()) as address,
        visit(address, allow_rejections=True) as page,
    ):
        expect(page.locator("#trouble")).to_have_text(
            "This path requires an API key, and the request has none."
        )
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_have_text("The API key is unknown.")
        page.locator("#key").fill(TEXT)
        page.keyboard.press("Enter")
        expect(page.locator("#reconstruction")).to_be_enabled()
        page.reload()
        expect(page.locator("#reconstruction")).to_be_enabled()

        visible_state = page.evaluate(
            "[Object.values(localStorage), document.cookie, location.href]"
        )
        assert TEXT not in str(visible_state)
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.locator("#reconstruct .foot button").nth(1).click()
        snippet = page.locator("#by-hand textarea").input_value()
        assert TEXT not in snippet
        assert "LATENTD_KEY" in snippet


def test_playground_works_behind_a_path_prefix(visit: Opener, store: Path) -> None:
    """Behind a path prefix the page finds its files and the API."""
    with (
        serve(store, "/tools/latentd", default_model="full") as address,
        visit(address) as page,
    ):
        expect(page.locator("#reconstruction")).to_be_enabled()
        page.get_by_role("link", name="API").click()
        assert page.url == f"{address}docs"


def test_colour_model_has_a_colour_pad(visit: Opener, store: Path) -> None:
    """A colour model gets a colour pad with the shape and background of its images."""
    with (
        serve(store, default_model="colour") as address,
        visit(address) as page,
    ):
        draw(page, SCRIBBLE)
        wait_until_idle(page)
        pixels = read_image(page, "#original")
        box = page.locator("#pad").bounding_box()

        assert pixels.shape == (12, 20, 3)
        assert pixels[0, -1].tolist() == [255, 230, 51]
        assert np.abs(pixels.astype(int) - (0xE8, 0x53, 0x3F)).max(axis=2).min() < 40
        assert box is not None
        assert abs(box["width"] / box["height"] - 20 / 12) < 0.02
        expect(page.locator("#ink-field")).to_be_visible()
        expect(page.locator("#centre-field")).to_be_hidden()


def test_minimal_bundle_hides_panels(visit: Opener, store: Path) -> None:
    """Panels without a network are hidden, and the page lists the missing networks."""
    with (
        serve(store, default_model="bare") as address,
        visit(address) as page,
    ):
        for panel in ("#classify", "#denoise", "#map"):
            expect(page.locator(panel)).to_be_hidden()
        expect(page.locator("#lacks")).to_contain_text("a classifier, a denoiser, a VAE")
        draw(page, SCRIBBLE)
        wait_until_idle(page)
        assert read_image(page, "#reconstruction img").shape == (8, 6)
        assert page.locator(".error:visible").count() == 0


def test_anomalies_are_marked_over_the_threshold(visit: Opener, store: Path) -> None:
    """The slider marks the places over it in red without a request, and decides the verdict."""
    with (
        serve(store, default_model="full") as address,
        visit(address) as page,
    ):
        with page.expect_response("**/v1/detect?*heatmap=array*"):
            page.locator("#examples .thumb").last.click()
        wait_until_idle(page)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))

        expect(page.locator("#anomaly-score")).to_have_text("1")
        page.locator("#anomaly-threshold").fill("2")
        unmarked = page.evaluate(_READ_HEAT)
        expect(page.locator("#anomaly-verdict")).to_have_text("belongs")
        page.locator("#anomaly-threshold").fill("0.5")
        marked = page.evaluate(_READ_HEAT)
        expect(page.locator("#anomaly-verdict")).to_have_text("does not belong")

        assert unmarked == [255, 255, 255]
        assert marked[0] == 255
        assert marked[1] < 150
        assert requests == []
        least = page.locator("#least-normal .picture")
        expect(least).to_have_count(1)
        assert least.get_attribute("aria-label") == "Picture with the score 1: send or save"


def test_a_bundle_without_detectors_hides_the_panel(visit: Opener, tmp_path: Path) -> None:
    """The panel is hidden, and the page lists the detectors as missing."""
    write_bundle(tmp_path, "older", without=frozenset({"detectors"}))
    with (
        serve(tmp_path) as address,
        visit(address) as page,
    ):
        wait_until_idle(page)
        expect(page.locator("#detect")).to_be_hidden()
        expect(page.locator("#lacks")).to_contain_text("detectors")


def test_older_version_can_be_selected(visit: Opener, store: Path) -> None:
    """The page offers all loaded versions, and the selected one is in the address."""
    with (
        serve(store, default_model="full") as address,
        visit(address) as page,
    ):
        assert page.locator("#version option").all_inner_texts() == ["2", "1"]
        with page.expect_request("**/v1/reconstruct?model=full%401*"):
            page.locator("#version").select_option("1")
        wait_until_idle(page)
        assert page.url.endswith("#full@1")
        page.reload()
        wait_until_idle(page)
        expect(page.locator("#version")).to_have_value("1")
        page.goto(f"{address}#full@2")
        expect(page.locator("#version")).to_have_value("2")


def test_rejection_shows_the_detail_of_the_problem(visit: Opener, store: Path) -> None:
    """A rejection shows the problem's detail until the next success."""
    with (
        serve(store, default_model="full", max_samples=65) as address,
        visit(address, allow_rejections=True) as page,
    ):
        page.locator("#count").fill("99")
        page.locator("#count").press("Enter")
        error = page.locator(".batch .error").first
        expect(error).to_have_text(
            "Request has 99 samples, at most 65 are allowed (setting LATENTD_MAX_SAMPLES)."
        )
        page.locator("#count").fill("9")
        page.locator("#count").press("Enter")
        expect(error).to_be_hidden()
        expect(page.locator(".batch").first.locator(".picture")).to_have_count(9)


def test_unreachable_service_shows_an_error_in_its_panel(visit: Opener, store: Path) -> None:
    """An unreachable service shows an error in the requesting panel; other panels stay usable."""
    with serve(store, default_model="full") as address, visit(address) as page:
        wait_until_idle(page)
        page.evaluate("() => { window.fetch = async () => { throw new TypeError('gone'); }; }")
        page.locator("#code-zero").click()

        expect(page.locator("#code .error")).to_have_text("The service cannot be reached.")
        expect(page.locator("#reconstruction")).to_be_enabled()


def test_report_is_linked(visit: Opener, store: Path) -> None:
    """The page links to the report of the bundle."""
    with serve(store, default_model="full") as address, visit(address) as page:
        report = page.request.get(f"{address}v1/models/full").json()["report"]
        link = page.get_by_role("link", name="Report")
        expect(link).to_be_visible(visible=report is not None)
        if report is not None:
            assert page.request.get(str(link.get_attribute("href"))).status == 200
