"""The documentation site builds without warnings and works offline."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESOURCE = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?([^"'\s>]+)"""
    r"""|<link[^>]*\srel=["']?(?:stylesheet|icon|preconnect|preload)[^>]*\shref=["']?([^"'\s>]+)"""
    r"""|<link[^>]*\shref=["']?([^"'\s>]+)["']?[^>]*\srel=["']?(?:stylesheet|icon|preconnect)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--site-dir", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    """Each Markdown file of docs/ and of the root is a page."""
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}

    expected = {
        source.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        for source in (ROOT / "docs").rglob("*.md")
        if "node_modules" not in source.parts
    }
    expected -= {"decisions/README.html"}
    expected |= {"decisions/index.html", "index.html", "SECURITY.html", "CONTRIBUTING.html"}
    assert expected <= pages


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    """Scripts, styles, fonts and images of all pages are relative, and style sheets too."""
    addresses = [
        address
        for page in site.rglob("*.html")
        for groups in RESOURCE.findall(page.read_text())
        for address in groups
        if address
    ]
    in_styles = [
        address
        for style in site.rglob("*.css")
        for address in re.findall(r"url\(([^)]*)\)", style.read_text())
    ]

    assert addresses
    external = re.compile(r"[\"']?(https?:)?//")
    assert [address for address in addresses + in_styles if external.match(address)] == []


def test_pages_contain_no_mermaid_blocks(site: Path) -> None:
    """Pages contain no Mermaid blocks, for which the theme would load a script from a CDN."""
    assert [page for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()] == []
