"""Draw docs/diagrams/*.mmd (Mermaid) to docs/images/diagrams/*.svg, in headless Chromium.

The site shows the SVG files, so it works offline and without Mermaid's script.

usage: npm install --prefix docs/diagrams && python docs/draw_diagrams.py
"""

import hashlib
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SOURCES = Path(__file__).parent / "diagrams"
DRAWN = Path(__file__).parent / "images" / "diagrams"
MERMAID = SOURCES / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
OPTIONS = {
    "startOnLoad": False,
    "theme": "neutral",
    "htmlLabels": False,  # viewers do not render HTML inside an SVG image
    "sequence": {"useMaxWidth": False, "mirrorActors": False},
    "flowchart": {"htmlLabels": False, "useMaxWidth": False, "wrappingWidth": 380},
    "deterministicIds": True,
}
_RENDER = """async ([name, source, options]) => {
    mermaid.initialize(options);
    return (await mermaid.render(name, source)).svg;
}"""


def sign(source: str) -> str:
    """Return the comment that ties a drawing to its source."""
    return f"<!-- drawn from {hashlib.sha256(source.encode()).hexdigest()} -->"


def draw(page: Page, path: Path) -> str:
    """Return the SVG text of one Mermaid file, with a white background."""
    source = path.read_text()
    svg: str = page.evaluate(_RENDER, [f"diagram-{path.stem}", source, OPTIONS])
    on_white = svg.replace('style="', 'style="background: white; ', 1)
    return f"{on_white}\n{sign(source)}\n"


def main() -> None:
    """Draw all diagrams."""
    DRAWN.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.add_script_tag(path=MERMAID)
        for path in sorted(SOURCES.glob("*.mmd")):
            target = DRAWN / f"{path.stem}.svg"
            target.write_text(draw(page, path))
            print(f"wrote {target.name}")
        browser.close()


if __name__ == "__main__":
    main()
