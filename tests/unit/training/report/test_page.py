"""The report: one page of a finished run, which needs nothing and runs nothing."""

import html.parser
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from service.artifact import Bundle, open_bundle
from training.__main__ import report
from training.report.page import REPORT_FILE

MOST_BYTES = 1_200_000
SECTIONS = {
    *("figures", "losses", "reconstructions", "denoising", "confusion", "robustness"),
    *("map_autoencoder", "map_vae", "manifold_autoencoder", "manifold_vae"),
    *("interpolation", "between", "centroids", "samples", "draws_kde", "histograms_kde"),
    *("draws_prior", "histograms_prior", "provenance"),
}


class Page(html.parser.HTMLParser):
    """A page's tags, and what they refer to."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.tags: list[str] = []
        self.sections: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        attributes = dict(attrs)
        self.tags.append(tag)
        self.sections += [attributes["id"] or ""] if tag == "section" else []
        self.images += [attributes] if tag == "img" else []
        self.references += [text or "" for name, text in attrs if name in {"src", "href"}]


@pytest.fixture(scope="module")
def bundle(digits_store: Path) -> Bundle:
    """The bundle of a short training."""
    return open_bundle(digits_store, "digits", 1)


@pytest.fixture(scope="module")
def text(bundle: Bundle) -> str:
    """Its page."""
    assert bundle.manifest.report == REPORT_FILE
    return bundle.read(REPORT_FILE).decode()


def test_the_page_has_every_section(text: str) -> None:
    """Each figure that the networks allow is there, once, and led to."""
    page = Page(text)

    assert set(page.sections) >= SECTIONS
    assert len(set(page.sections)) == len(page.sections)
    assert {f"#{name}" for name in page.sections} <= set(page.references)


def test_the_page_needs_nothing_and_runs_nothing(text: str) -> None:
    """No script, no address but data and its own sections, and not too large to look at."""
    page = Page(text)

    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert all(link.startswith(("data:image/webp;", "#")) for link in page.references)
    assert "@import" not in text
    assert "url(" not in text
    assert len(text) < MOST_BYTES


def test_every_image_is_described_and_sized(text: str) -> None:
    """Each image tells what it shows to those who do not see it, and its size before it is read."""
    for image in Page(text).images:
        assert len(image["alt"] or "") > 20
        assert int(image["width"] or 0) > 100
        assert int(image["height"] or 0) > 20


def test_the_page_tells_what_the_manifest_tells(bundle: Bundle, text: str) -> None:
    """The figures with their split and count, the command and the seed."""
    for name, metric in bundle.manifest.metrics.items():
        row = re.search(rf"<tr><td>{re.escape(name)}</td>.*?</tr>", text)
        assert row is not None, name
        assert f"{metric.value:.5g}" in row[0]
        assert f">{metric.count:,}<" in row[0]
    made = bundle.manifest.provenance
    assert made.command in text
    assert f"<dt>seed</dt><dd><code>{made.seed}</code>" in text
    assert made.libraries["torch"] in text


def test_the_command_writes_the_page_and_its_figures(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished run gives the same page, and beside it a PNG file for each figure in it."""
    out = tmp_path / "pictures"

    assert report([str(digits_run), "--out", str(out), "--device", "cpu"]) == 0

    page = Page((out / REPORT_FILE).read_text())
    files = {path.stem for path in out.glob("*.png")}
    assert files == set(page.sections) - {"figures", "quality", "provenance"}
    for path in out.glob("*.png"):
        assert Image.open(io.BytesIO(path.read_bytes())).size[0] > 150
    assert str(out / REPORT_FILE) in capsys.readouterr().out


def test_a_run_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a run is one clear line."""
    assert report([str(tmp_path)]) == 1

    assert "no run folder" in capsys.readouterr().err
