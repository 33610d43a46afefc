"""A finished run as one page: pictures and tables, with nothing to load and nothing that runs."""

import base64
import html
import io
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from PIL import Image

from service.artifact import Metric, Provenance
from training.evaluation.provenance import describe_provenance
from training.evaluation.trained_run import Trained
from training.fitting.checkpoints import replace_file
from training.report.latents import draw_spaces
from training.report.networks import Picture, Studio, draw_networks
from training.report.plots.style import DOTS, SHOWN
from training.report.samples import draw_sources

REPORT_FILE = "report.html"

_SMALL = 640  # pixels of a figure that fits on a phone without scrolling
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: report</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{summary}</p>
</header>
<nav aria-label="Contents"><ul>
{contents}
</ul></nav>
<main>
{sections}
</main>
</body>
</html>
"""


def write_report(trained: Trained, folder: Path) -> Path:
    """Write a run's page and each of its figures as a PNG file into a folder.

    Returns:
        The page.
    """
    pictures = draw_pictures(trained)
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        _write(folder / f"{picture.name}.png", picture.content)
    page = folder / REPORT_FILE
    _write(page, make_page(trained, describe_provenance(trained), pictures))
    return page


def draw_pictures(trained: Trained) -> list[Picture]:
    """Return every figure that there is of a run, in the order of the page."""
    studio = Studio(trained)
    return [*draw_networks(studio), *draw_spaces(studio), *draw_sources(studio)]


def make_page(trained: Trained, provenance: Provenance, pictures: Sequence[Picture]) -> bytes:
    """Return the page: one HTML file with its style and its figures inside."""
    parts = [("figures", "Figures measured", _list_metrics(trained.measures.metrics))]
    if trained.quality:
        parts.append(("quality", "Quality of samples", _list_quality(trained.quality)))
    parts += [(picture.name, picture.title, _show(picture)) for picture in pictures]
    parts.append(("provenance", "Provenance", _list_provenance(provenance)))
    page = _PAGE.format(
        title=html.escape(trained.recipe.name),
        summary=html.escape(_summarise(trained)),
        style=resources.files("training.report").joinpath("report.css").read_text(),
        contents="\n".join(
            f'<li><a href="#{name}">{html.escape(title)}</a></li>' for name, title, _ in parts
        ),
        sections="\n".join(
            f'<section id="{name}">\n<h2>{html.escape(title)}</h2>\n{content}\n</section>'
            for name, title, content in parts
        ),
    )
    return page.encode()


def _write(path: Path, content: bytes) -> None:
    replace_file(path, lambda beside: beside.write_bytes(content))


def _summarise(trained: Trained) -> str:
    splits = trained.splits
    shape = " x ".join(str(size) for size in splits.image.shape)
    counts = ", ".join(f"{count:,} {name}" for name, count in splits.count().items())
    sizes = ", ".join(f"{name} {found.latent_size}" for name, found in trained.maps.items())
    return (
        f"{splits.dataset}: {counts} images of {shape} (channels x height x width). "
        f"Numbers in a code: {sizes}."
    )


def _show(picture: Picture) -> str:
    width, height = (
        round(pixels * SHOWN / DOTS) for pixels in struct.unpack(">II", picture.content[16:24])
    )
    small = ' class="small"' if width <= _SMALL else ""
    data = base64.b64encode(_pack(picture.content)).decode()
    return (
        f"<p>{html.escape(picture.text)}</p>\n"
        f'<div class="wide" tabindex="0" role="group" aria-label="{html.escape(picture.title)}">'
        f'<div class="figure"><img{small} width="{width}" height="{height}" '
        f'alt="{html.escape(picture.alt)}" src="data:image/webp;base64,{data}"></div></div>'
    )


def _pack(png: bytes) -> bytes:
    """Return the same pixels as a WebP file, which is a fifth smaller."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", lossless=True, quality=60)
    return stream.getvalue()


def _list_metrics(metrics: Mapping[str, Metric]) -> str:
    rows = [
        (name, f"{metric.value:.5g}", metric.unit, metric.split, f"{metric.count:,}")
        for name, metric in metrics.items()
    ]
    return _make_table(("figure", "value", "unit", "split", "images"), rows, {1, 4})


def _list_quality(quality: Mapping[str, Mapping[str, Metric]]) -> str:
    """Return a table with a row for each source and a column for each measure."""
    columns = list(dict.fromkeys(name for found in quality.values() for name in found))
    units = {name: metric.unit for found in quality.values() for name, metric in found.items()}
    rows = [
        (source, *(f"{found[name].value:.4g}" if name in found else "" for name in columns))
        for source, found in quality.items()
    ]
    heads = [f"{name.replace('_', ' ')} ({units[name]})" for name in columns]
    return (
        "<p>What an independent judge network, trained on real images, makes of each source's "
        "samples.</p>\n" + _make_table(("source", *heads), rows, set(range(1, len(columns) + 1)))
    )


def _list_provenance(provenance: Provenance) -> str:
    lines = {
        "command": provenance.command,
        "seed": str(provenance.seed),
        "written": f"{provenance.created:%Y-%m-%d %H:%M} UTC",
        "epochs until the kept weights": _join(provenance.epochs),
        "images": _join(provenance.images),
        "sha256 of the images": provenance.dataset_digest,
        "libraries": _join(provenance.libraries),
        "recipe": json.dumps(provenance.recipe),
    }
    items = "\n".join(
        f"<dt>{html.escape(name)}</dt><dd><code>{html.escape(text)}</code></dd>"
        for name, text in lines.items()
    )
    return f"<dl>\n{items}\n</dl>"


def _join(members: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in members.items())


def _make_table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int]) -> str:
    """Return a table; the columns whose places stand in `numbers` are aligned to the right."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        kinds = [' class="number"' if place in numbers else "" for place in range(len(texts))]
        return "".join(
            f"<{tag}{kind}>{html.escape(text)}</{tag}>"
            for kind, text in zip(kinds, texts, strict=True)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{cells("th", heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )
