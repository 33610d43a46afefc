"""The report of a trained run: one HTML page with embedded plots, without scripts or requests."""

import base64
import io
import json
import struct
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2
from PIL import Image

from service.artifact import Provenance
from training.evaluation.trained_run import TrainedRun
from training.files import replace_bytes
from training.report.anomaly_plots import draw_detection
from training.report.context import Plot, ReportContext
from training.report.latent_plots import draw_spaces
from training.report.network_plots import draw_networks
from training.report.plots.class_names import fit_class_names, use_fonts
from training.report.plots.style import DOTS, SHOWN
from training.report.sample_plots import draw_sources

REPORT_FILE = "report.html"

_SMALL = 640  # maximum width in pixels of a plot that fits on a phone without scrolling


def write_report(trained: TrainedRun, folder: Path) -> Path:
    """Write the page of a run, and each plot as a PNG file, into a folder; return the page."""
    plots = draw_plots(trained)
    for plot in plots:
        replace_bytes(folder / f"{plot.name}.png", plot.content)
    page = folder / REPORT_FILE
    replace_bytes(page, make_page(trained, trained.describe_provenance(), plots))
    return page


def draw_plots(trained: TrainedRun) -> list[Plot]:
    """Return all plots of a run, in the order of the page."""
    context = ReportContext(trained)
    with use_fonts(trained.splits.classes or ()):
        return [
            *draw_networks(context),
            *draw_detection(context),
            *draw_spaces(context),
            *draw_sources(context),
        ]


def make_page(trained: TrainedRun, provenance: Provenance, plots: Sequence[Plot]) -> bytes:
    """Return the page as UTF-8: one HTML file that includes its style and its plots."""
    files = resources.files("training.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    splits, quality = trained.splits, trained.quality
    page = template.render(
        title=trained.recipe.name,
        style=(files / "report.css").read_text(encoding="utf-8"),
        dataset=splits.dataset,
        counts=", ".join(f"{count:,} {name}" for name, count in splits.count().items()),
        shape=" x ".join(str(size) for size in splits.image.shape),
        latent_sizes=_join({name: found.latent_size for name, found in trained.maps.items()}),
        verdict=trained.describe_verdict(),
        metrics=trained.evaluation.metrics,
        quality=quality,
        quality_units={
            name: metric.unit for values in quality.values() for name, metric in values.items()
        },
        detectors={name: spec.quality for name, spec in trained.detectors.specs.items()},
        default_detector=trained.detectors.default,
        renamed=_list_renamed(splits.classes or ()),
        plots=[_describe_plot(plot) for plot in plots],
        provenance=_describe_provenance(provenance),
    )
    return page.encode()


def _list_renamed(classes: Sequence[str]) -> str:
    """Return the full name of each class that plots shorten or number."""
    pairs = zip(fit_class_names(classes), classes, strict=True)
    return ", ".join(f"{shown} = {name}" for shown, name in pairs if shown != name)


def _describe_plot(plot: Plot) -> dict[str, object]:
    """Return a plot's variables in the template."""
    width, height = (
        round(pixels * SHOWN / DOTS) for pixels in struct.unpack(">II", plot.content[16:24])
    )
    data = base64.b64encode(_to_webp(plot.content)).decode()
    return {
        "name": plot.name,
        "title": plot.title,
        "text": plot.text,
        "alt": plot.alt,
        "width": width,
        "height": height,
        "is_small": width <= _SMALL,
        "data_uri": f"data:image/webp;base64,{data}",
    }


def _to_webp(png: bytes) -> bytes:
    """Return the same pixels as a lossless WebP file, which is 20 % smaller."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", lossless=True, quality=60)
    return stream.getvalue()


def _describe_provenance(provenance: Provenance) -> dict[str, str]:
    return {
        "command": provenance.command,
        "seed": str(provenance.seed),
        "created": f"{provenance.created:%Y-%m-%d %H:%M} UTC",
        "epochs until the kept weights": _join(provenance.epochs),
        "images": _join(provenance.images),
        "SHA-256 of the images": provenance.dataset_digest,
        "libraries": _join(provenance.libraries),
        "recipe": json.dumps(provenance.recipe),
    }


def _join(members: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in members.items())
