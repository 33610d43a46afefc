"""How the playground looks: for screen readers, on phones and wide screens, by day and night."""

import contextlib
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_pages import Opener, settle
from tests.support.requirements import need_file

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {390: 844, 1280: 1000, 1920: 1100}
WATCH_SHIFTS = """() => {
    window.shifted = 0;
    const add = list => list.getEntries().forEach(entry => { window.shifted += entry.value; });
    new PerformanceObserver(add).observe({type: "layout-shift", buffered: true});
}"""


def find_faults(page: Page) -> list[str]:
    """Return what axe-core finds on a page, of any weight."""
    page.evaluate(need_file(AXE, "npm install --prefix tests/browser").read_text())
    found = page.evaluate("axe.run()")
    return [
        f"{fault['impact']}: {fault['id']}: {node['html']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_no_accessibility_fault(
    visit: Opener, playground: str, width: int, scheme: str, tmp_path: Path
) -> None:
    """axe-core finds nothing, whatever the width and the colours; a screenshot is kept."""
    viewport = {"width": width, "height": SIZES[width]}
    with visit(playground, viewport=viewport, color_scheme=scheme, bypass_csp=True) as page:
        settle(page)
        page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        page.locator("#key-button").click()
        faults = find_faults(page)
        wide = page.evaluate("document.documentElement.scrollWidth")

    assert faults == []
    assert wide <= width
    assert (tmp_path / f"{width}-{scheme}.png").stat().st_size > 100_000


def test_no_accessibility_fault_in_the_menu(visit: Opener, playground: str) -> None:
    """Nor does it find one in the menu of a picture, nor in what is folded away."""
    with visit(playground, bypass_csp=True) as page:
        settle(page)
        page.locator("summary").click()
        page.locator("#reconstruction").click()
        assert find_faults(page) == []


@pytest.mark.parametrize("width", SIZES)
def test_nothing_jumps_while_the_page_fills(visit: Opener, playground: str, width: int) -> None:
    """What arrives from the service finds its place kept: the layout hardly shifts."""
    with visit(playground, viewport={"width": width, "height": SIZES[width]}) as page:
        page.evaluate(WATCH_SHIFTS)
        settle(page)
        assert page.evaluate("shifted") < 0.03


def test_everything_is_reached_by_keys(visit: Opener, playground: str) -> None:
    """Tab goes through every control, each of which has a name; the first leads past the header."""
    with visit(playground) as page:
        settle(page)
        reached = set()
        for _ in range(130):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        snapshot = page.locator("main").aria_snapshot()

    wanted = {"pad", "surprise", "wipe", "choose", "noise", "reconstruction"}
    wanted |= {"decoded", "code-back", "map-canvas", "steps", "count", "seed", "class"}
    assert wanted <= reached
    assert "- button\n" not in snapshot
    assert "- slider\n" not in snapshot


def test_with_less_motion_nothing_moves(visit: Opener, playground: str) -> None:
    """Who asks for reduced motion sees no transitions."""
    with visit(playground, reduced_motion="reduce") as page:
        duration = page.locator(".track i").first.evaluate("e => getComputedStyle(e).transition")

    assert "0.16s" not in duration


def test_the_policy_refuses_what_is_not_ours(browser: Browser, playground: str) -> None:
    """A script or a style that slipped into the page would not run."""
    with contextlib.closing(browser.new_page()) as page:
        page.goto(playground)
        refused = page.evaluate(
            """() => new Promise(resolve => {
                const refused = [];
                document.addEventListener("securitypolicyviolation", event => {
                    refused.push(event.effectiveDirective);
                    if (refused.length === 2) resolve(refused);
                });
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.head.append(script);
                document.body.setAttribute("style", "color: red");
            })"""
        )
        ran = page.evaluate("window.ran")

    assert ran is None
    assert {name.removesuffix("-elem").removesuffix("-attr") for name in refused} == {
        "script-src",
        "style-src",
    }


def test_copying_without_a_clipboard(visit: Opener, playground: str) -> None:
    """Where the browser forbids copying, the text is shown to be copied by hand."""
    with visit(playground) as page:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        settle(page)
        page.locator("#reconstruct .foot button").first.click()
        text = page.locator("#by-hand textarea").input_value()
        page.get_by_role("button", name="Done").click()

        expect(page.locator("#by-hand")).to_be_hidden()
    assert text.startswith("curl ")
    assert json.loads(text.partition("-d '")[2].rpartition("'")[0])["images"]
