"""Accessibility, layout, colour schemes and content policy of the playground."""

import contextlib
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_pages import Opener, wait_until_idle
from tests.support.requirements import require_file

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {390: 844, 1280: 1000, 1920: 1100}
WATCH_SHIFTS = """() => {
    window.shifted = 0;
    const add = list => list.getEntries().forEach(entry => { window.shifted += entry.value; });
    new PerformanceObserver(add).observe({type: "layout-shift", buffered: true});
}"""


def find_violations(page: Page) -> list[str]:
    """Return all violations that axe-core finds on a page."""
    page.evaluate(require_file(AXE, "npm install --prefix tests/browser").read_text())
    results = page.evaluate("axe.run()")
    return [
        f"{violation['impact']}: {violation['id']}: {node['html']}"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_page_has_no_accessibility_violation(
    visit: Opener, playground: str, width: int, scheme: str, tmp_path: Path
) -> None:
    """axe-core reports zero violations in every width and colour scheme."""
    viewport = {"width": width, "height": SIZES[width]}
    with visit(playground, viewport=viewport, color_scheme=scheme, bypass_csp=True) as page:
        wait_until_idle(page)
        page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        page.locator("#key-button").click()
        violations = find_violations(page)
        wide = page.evaluate("document.documentElement.scrollWidth")

    assert violations == []
    assert wide <= width
    assert (tmp_path / f"{width}-{scheme}.png").stat().st_size > 100_000


def test_menu_has_no_accessibility_violation(visit: Opener, playground: str) -> None:
    """axe-core reports zero violations in the menu of an image and in the opened details."""
    with visit(playground, bypass_csp=True) as page:
        wait_until_idle(page)
        page.locator("summary").click()
        page.locator("#reconstruction").click()
        assert find_violations(page) == []


@pytest.mark.parametrize("width", SIZES)
def test_layout_is_stable_while_loading(visit: Opener, playground: str, width: int) -> None:
    """The layout shifts by less than 0.03 while responses arrive."""
    with visit(playground, viewport={"width": width, "height": SIZES[width]}) as page:
        page.evaluate(WATCH_SHIFTS)
        wait_until_idle(page)
        assert page.evaluate("shifted") < 0.03


def test_tab_reaches_every_control(visit: Opener, playground: str) -> None:
    """Tab reaches every control, and each control has an accessible name."""
    with visit(playground) as page:
        wait_until_idle(page)
        reached = set()
        for _ in range(180):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        snapshot = page.locator("main").aria_snapshot()

    controls = {"pad", "surprise", "wipe", "choose", "noise", "reconstruction"}
    controls |= {"decoded", "code-back", "map-canvas", "steps", "count", "seed", "class"}
    assert controls <= reached
    assert "- button\n" not in snapshot
    assert "- slider\n" not in snapshot


def test_reduced_motion_disables_transitions(visit: Opener, playground: str) -> None:
    """The setting for reduced motion disables transitions."""
    with visit(playground, reduced_motion="reduce") as page:
        duration = page.locator(".track i").first.evaluate("e => getComputedStyle(e).transition")

    assert "0.16s" not in duration


def test_policy_blocks_injected_scripts_and_styles(browser: Browser, playground: str) -> None:
    """The content policy blocks an injected script and an injected style."""
    with contextlib.closing(browser.new_page()) as page:
        page.goto(playground)
        blocked = page.evaluate(
            """() => new Promise(resolve => {
                const blocked = [];
                document.addEventListener("securitypolicyviolation", event => {
                    blocked.push(event.effectiveDirective);
                    if (blocked.length === 2) resolve(blocked);
                });
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.head.append(script);
                document.body.setAttribute("style", "color: red");
            })"""
        )
        ran = page.evaluate("window.ran")

    assert ran is None
    assert {name.removesuffix("-elem").removesuffix("-attr") for name in blocked} == {
        "script-src",
        "style-src",
    }


def test_snippet_is_shown_without_clipboard_access(visit: Opener, playground: str) -> None:
    """Without clipboard access the page shows the snippet for manual copying."""
    with visit(playground) as page:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        wait_until_idle(page)
        page.locator("#reconstruct .foot button").first.click()
        text = page.locator("#by-hand textarea").input_value()
        page.get_by_role("button", name="Done").click()

        expect(page.locator("#by-hand")).to_be_hidden()
    assert text.startswith("curl ")
    assert json.loads(text.partition("-d '")[2].rpartition("'")[0])["images"]
