"""The report: one self-contained page without scripts."""

import html.parser
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from service.artifact import Bundle, open_bundle
from training.commands.report import report
from training.evaluation.trained_run import TrainedRun
from training.fitting.runs.run_folders import read_run
from training.pipeline import complete_run, load_run
from training.report.page import REPORT_FILE, draw_plots

MAX_BYTES = 1_200_000
SECTIONS = {
    *("metrics", "losses", "reconstructions", "denoising", "confusion", "robustness"),
    *("map_autoencoder", "map_vae", "manifold_autoencoder", "manifold_vae"),
    *("interpolation", "between", "centroids", "samples", "draws_kde", "histograms_kde"),
    *("draws_prior", "histograms_prior", "provenance"),
}


class Page(html.parser.HTMLParser):
    """The tags, sections, images and links of a page."""

    def __init__(self, text: str) -> None:
        """Parse the page."""
        super().__init__()
        self.tags: list[str] = []
        self.sections: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        attributes = dict(attrs)
        self.tags.append(tag)
        self.sections += [attributes["id"] or ""] if tag == "section" else []
        self.images += [attributes] if tag == "img" else []
        self.references += [text or "" for name, text in attrs if name in {"src", "href"}]


@pytest.fixture(scope="module")
def bundle(digits_store: Path) -> Bundle:
    """Return the bundle of a short training."""
    return open_bundle(digits_store, "digits", 1)


@pytest.fixture(scope="module")
def text(bundle: Bundle) -> str:
    """Return its report."""
    assert bundle.manifest.report == REPORT_FILE
    return bundle.read(REPORT_FILE).decode()


def test_the_page_has_every_section(text: str) -> None:
    """Each plot that the networks allow occurs once, with a link to it."""
    page = Page(text)

    assert set(page.sections) >= SECTIONS
    assert len(set(page.sections)) == len(page.sections)
    assert {f"#{name}" for name in page.sections} <= set(page.references)


def test_the_page_is_self_contained(text: str) -> None:
    """It contains no scripts, links only to its own sections, and embeds all data."""
    page = Page(text)

    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert all(link.startswith(("data:image/webp;", "#")) for link in page.references)
    assert "@import" not in text
    assert "url(" not in text
    assert len(text) < MAX_BYTES


def test_every_image_has_a_text_alternative_and_a_size(text: str) -> None:
    """Screen readers and the layout depend on them."""
    for image in Page(text).images:
        assert len(image["alt"] or "") > 20
        assert int(image["width"] or 0) > 100
        assert int(image["height"] or 0) > 20


def test_the_page_has_the_content_of_the_manifest(bundle: Bundle, text: str) -> None:
    """It contains the metrics with their counts, the command and the seed."""
    for name, metric in bundle.manifest.metrics.items():
        row = re.search(rf"<tr><td>{re.escape(name)}</td>.*?</tr>", text)
        assert row is not None, name
        assert f"{metric.value:.5g}" in row[0]
        assert f">{metric.count:,}<" in row[0]
    provenance = bundle.manifest.provenance
    assert provenance.command in text
    assert f"<dt>seed</dt><dd><code>{provenance.seed}</code>" in text
    assert provenance.libraries["torch"] in text


def test_the_command_writes_the_page_and_its_plots(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`latentd report` writes the page and one PNG file per plot."""
    out = tmp_path / "plots"

    assert report([str(digits_run), "--out", str(out), "--device", "cpu"]) == 0

    page = Page((out / REPORT_FILE).read_text())
    files = {path.stem for path in out.glob("*.png")}
    assert files == set(page.sections) - {"metrics", "quality", "detectors", "provenance"}
    for path in out.glob("*.png"):
        assert Image.open(io.BytesIO(path.read_bytes())).size[0] > 150
    assert str(out / REPORT_FILE) in capsys.readouterr().out


def test_a_folder_without_a_run_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is one line."""
    assert report([str(tmp_path)]) == 1

    assert "not a run folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(digits_run: Path) -> TrainedRun:
    """Return the trained run."""
    return complete_run(load_run(read_run(digits_run), torch.device("cpu"), lambda _: None))


def test_private_images_are_not_in_the_report(trained: TrainedRun) -> None:
    """With `data.examples` of 0 no plot shows images of the data set."""
    data = trained.recipe.data.model_copy(update={"examples": 0})
    private = replace(trained, recipe=trained.recipe.model_copy(update={"data": data}))

    shown = {plot.name for plot in draw_plots(private)}

    all_plots = {plot.name for plot in draw_plots(trained)}
    hidden = {"reconstructions", "denoising", "interpolation", "made_up_defects"}
    assert all_plots - shown == hidden


def test_without_classes_no_text_mentions_them(trained: TrainedRun) -> None:
    """Captions and text alternatives are true for images without classes."""
    splits = replace(trained.splits, classes=None)
    for name in ("train", "validation", "test"):
        splits = replace(splits, **{name: replace(getattr(splits, name), labels=None)})
    maps = {space: replace(found, labels=None) for space, found in trained.maps.items()}
    sources = {name: found for name, found in trained.samplers.items() if "class" not in name}
    unlabelled = replace(trained, splits=splits, maps=maps, samplers=sources)

    texts = [text for plot in draw_plots(unlabelled) for text in (plot.text, plot.alt)]

    assert not [text for text in texts if re.search(r"\bclass(es)?\b", text)]
