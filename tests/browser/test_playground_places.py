"""The playground behind keys and prefixes, over bundles of other kinds, and in trouble."""

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
from tests.support.browser_pages import Opener, draw, read_picture, settle
from tests.support.fakes import open_fake_backend, write_bundle
from tests.support.servers import run_server

COLOUR = ImageSpec(channels=3, height=12, width=20, background=(1.0, 0.9, 0.2))
TEXT, KEY = make_key("visitor", frozenset({INFER}))
SCRIBBLE = [[(0.2, 0.2), (0.8, 0.8)]]


@contextlib.contextmanager
def serve(store: Path, prefix: str = "", **settings: object) -> Iterator[str]:
    """Serve a store with a fake backend; give the playground's address."""
    chosen = Settings(models_store=store, **settings)  # type: ignore[arg-type]
    registry = build_registry(chosen, open_fake_backend)
    registry.load()
    app = create_app(chosen, registry)
    with run_server(Starlette(routes=[Mount(prefix, app)]) if prefix else app) as base:  # type: ignore[arg-type]
        yield f"{base}{prefix}/"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full grey bundle in two versions, a colour one, and one with an autoencoder alone."""
    folder = tmp_path_factory.mktemp("store")
    write_bundle(folder, "full")
    write_bundle(folder, "full")
    write_bundle(folder, "colour", image=COLOUR)
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "extras"}))
    return folder


def test_a_key_is_asked_for_and_kept_in_the_tab(visit: Opener, store: Path) -> None:
    """Where keys are set the page asks for one, says what is wrong with it, and then works."""
    with (
        serve(store, default_model="full", api_keys=KEY.to_line()) as address,
        visit(address, refusals=True) as page,
    ):
        expect(page.locator("#trouble")).to_have_text("no key was given")
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_have_text("the key is none of those known here")
        page.locator("#key").fill(TEXT)
        page.keyboard.press("Enter")
        expect(page.locator("#reconstruction")).to_be_enabled()
        page.reload()
        expect(page.locator("#reconstruction")).to_be_enabled()

        kept = page.evaluate("[Object.values(localStorage), document.cookie, location.href]")
        assert TEXT not in str(kept)
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.locator("#reconstruct .foot button").nth(1).click()
        snippet = page.locator("#by-hand textarea").input_value()
        assert TEXT not in snippet
        assert "LATENTD_KEY" in snippet


def test_it_works_behind_a_prefix(visit: Opener, store: Path) -> None:
    """Below another service's path the page finds its files and the API."""
    with (
        serve(store, "/tools/latentd", default_model="full") as address,
        visit(address) as page,
    ):
        expect(page.locator("#reconstruction")).to_be_enabled()
        page.get_by_role("link", name="API").click()
        assert page.url == f"{address}docs"


def test_colour_pictures_of_any_shape(visit: Opener, store: Path) -> None:
    """A colour bundle is drawn on in colour, in its own shape, on its own background."""
    with (
        serve(store, default_model="colour") as address,
        visit(address) as page,
    ):
        draw(page, SCRIBBLE)
        settle(page)
        pixels = read_picture(page, "#original")
        box = page.locator("#pad").bounding_box()

        assert pixels.shape == (12, 20, 3)
        assert pixels[0, -1].tolist() == [255, 230, 51]
        assert np.abs(pixels.astype(int) - (0xE8, 0x53, 0x3F)).max(axis=2).min() < 40
        assert box is not None
        assert abs(box["width"] / box["height"] - 20 / 12) < 0.02
        expect(page.locator("#ink-field")).to_be_visible()
        expect(page.locator("#centre-field")).to_be_hidden()


def test_a_bundle_with_an_autoencoder_alone(visit: Opener, store: Path) -> None:
    """Panels that a bundle cannot fill are not there, and the page says what it lacks."""
    with (
        serve(store, default_model="bare") as address,
        visit(address) as page,
    ):
        for panel in ("#classify", "#denoise", "#map"):
            expect(page.locator(panel)).to_be_hidden()
        expect(page.locator("#lacks")).to_contain_text("a classifier, a denoiser, a VAE")
        draw(page, SCRIBBLE)
        settle(page)
        assert read_picture(page, "#reconstruction img").shape == (8, 6)
        assert page.locator(".error:visible").count() == 0


def test_an_older_version_can_be_chosen(visit: Opener, store: Path) -> None:
    """All versions that are served are offered; the chosen one answers, and is in the address."""
    with (
        serve(store, default_model="full") as address,
        visit(address) as page,
    ):
        assert page.locator("#version option").all_inner_texts() == ["2", "1"]
        with page.expect_request("**/v1/reconstruct?model=full%401*"):
            page.locator("#version").select_option("1")
        settle(page)
        assert page.url.endswith("#full@1")
        page.reload()
        settle(page)
        expect(page.locator("#version")).to_have_value("1")
        page.goto(f"{address}#full@2")
        expect(page.locator("#version")).to_have_value("2")


def test_errors_are_the_services_own_words(visit: Opener, store: Path) -> None:
    """What the service refuses is told by its own detail, and goes when it works again."""
    with (
        serve(store, default_model="full", max_samples=65) as address,
        visit(address, refusals=True) as page,
    ):
        page.locator("#count").fill("99")
        page.locator("#count").press("Enter")
        error = page.locator(".batch .error").first
        expect(error).to_have_text(
            "99 samples asked for; at most 65 are allowed (setting LATENTD_MAX_SAMPLES)"
        )
        page.locator("#count").fill("9")
        page.locator("#count").press("Enter")
        expect(error).to_be_hidden()
        expect(page.locator(".batch").first.locator(".picture")).to_have_count(9)


def test_a_service_that_went_away(visit: Opener, store: Path) -> None:
    """The page says so in the panel that asked, and its other panels stay."""
    with serve(store, default_model="full") as address, visit(address) as page:
        settle(page)
        page.evaluate("() => { window.fetch = async () => { throw new TypeError('gone'); }; }")
        page.locator("#code-zero").click()

        expect(page.locator("#code .error")).to_have_text("The service cannot be reached.")
        expect(page.locator("#reconstruction")).to_be_enabled()


def test_the_report_is_led_to(visit: Opener, store: Path) -> None:
    """A bundle's report is one click away, and saved where a key is needed."""
    with serve(store, default_model="full") as address, visit(address) as page:
        report = page.request.get(f"{address}v1/models/full").json()["report"]
        link = page.get_by_role("link", name="Report")
        expect(link).to_be_visible(visible=report is not None)
        if report is not None:
            assert page.request.get(str(link.get_attribute("href"))).status == 200
