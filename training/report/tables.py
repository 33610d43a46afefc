"""The tables of what is measured of the bundles in a store, written from their manifests."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.artifact import Bundle, Metric, list_bundles, open_bundle
from training.sampling.judging import COPYING
from training.sampling.quality import NEIGHBOURS, SURE

_HEAD = """\
# The bundles

Written by `{command}` from the manifests of the highest versions; every figure was measured once,
on the named split, by the command that trained the bundle.

"""

_SAMPLERS_HEAD = """\
# The sources of samples, judged

Written by `{command}` from the manifests of the highest versions. An independent network, the
judge, learned real training images only; as many samples of each source as there are test images
were shown to it.

- **recognisable**: samples that the judge gives a class with a probability of at least {sure:g};
  **classes**: how many have at least one in a hundred of them.
- **Frechet distance** between the judge's features of samples and of the test images (Heusel et
  al. 2017); lower is better. The features are the judge's own: figures of two data sets, or of
  other papers, cannot be compared.
- **density, coverage** (Naeem et al. 2020), **precision, recall** (Kynkaanniemi et al. 2019) in the
  same features, with the {neighbours} nearest neighbours. A source that repeats itself has a low
  recall, however good its samples look.
- **memorisation**: the median distance, in pixels, of a sample to its nearest training image, over
  that of a test image: 0 for copies, 1 for images as new as the test images. **near copies**:
  samples nearer than 99 in 100 test images are. An autoencoder's samples are smoother than images,
  which alone puts them nearer to all images.

The last row of a bundle, *training images*, is what a source without fault would have; the judge
has learned those images, which flatters them a little. **Bold** is the bundle's default source: the
lowest Frechet distance to the *validation* images of all sources with a memorisation of at least
{copying:g}. The test images choose nothing.

"""
_COLUMNS = {
    "recognisable": ("recognisable", "{:.1f} %"),
    "classes": ("classes", "{:.0f}"),
    "frechet": ("Frechet distance", "{:.4g}"),
    "density": ("density", "{:.3f}"),
    "coverage": ("coverage", "{:.1f} %"),
    "precision": ("precision", "{:.1f} %"),
    "recall": ("recall", "{:.1f} %"),
    "memorisation": ("memorisation", "{:.2f}"),
    "near_copies": ("near copies", "{:.1f} %"),
}
_FLOOR = "floor_"


def write_figures(store: Path) -> str:
    """Return a Markdown page with the figures of each bundle's highest version.

    Raises:
        ArtifactError: the store or a bundle in it cannot be read.
    """
    sections = [
        _describe(open_bundle(store, name, versions[0]))
        for name, versions in list_bundles(store).items()
    ]
    return _HEAD.format(command="latentd figures") + "\n".join(sections)


def _describe(bundle: Bundle) -> str:
    manifest, made = bundle.manifest, bundle.manifest.provenance
    size = sum(entry.bytes for entry in manifest.files.values()) / 1e6
    shape = " x ".join(str(length) for length in manifest.image.shape)
    spaces = ", ".join(f"{name} {space.latent_size}" for name, space in manifest.spaces.items())
    parity = max(
        graph.parity for network in manifest.networks.values() for graph in network.formats.values()
    )
    rows = "\n".join(
        f"| {name} | {metric.value:.5g} | {metric.unit} | {metric.split} | {metric.count:,} |"
        for name, metric in manifest.metrics.items()
    )
    return f"""\
## {bundle.name}, version {bundle.version}

Images of {shape}; latent sizes: {spaces}; {size:.1f} MB; largest difference of an exported graph
from PyTorch: {parity:.1e}. Made {made.created:%Y-%m-%d} with seed {made.seed} by
`{made.command}`.

| figure | value | unit | split | images |
| --- | --- | --- | --- | --- |
{rows}
"""


def write_samplers_table(store: Path) -> str:
    """Return a Markdown page with what was measured of each source of each judged bundle.

    Raises:
        ArtifactError: the store or a bundle in it cannot be read.
    """
    head = _SAMPLERS_HEAD.format(
        command="latentd figures", sure=SURE, neighbours=NEIGHBOURS, copying=COPYING
    )
    names = ["bundle", "source", *(name for name, _ in _COLUMNS.values())]
    rows = [
        row
        for name, versions in list_bundles(store).items()
        for row in _list_sources(open_bundle(store, name, versions[0]))
    ]
    lines = [names, ["---"] * len(names), *rows]
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _list_sources(bundle: Bundle) -> Iterator[list[str]]:
    """Give a row for each judged source, the best first, and one for the floor."""
    manifest = bundle.manifest
    judged = {name: spec.quality for name, spec in manifest.samplers.items() if spec.quality}
    for name in sorted(judged, key=lambda name: judged[name]["frechet"].value):
        shown = f"**{name}**" if name == manifest.default_source else name
        yield [bundle.name, shown, *_format(judged[name])]
    floor = {
        name.removeprefix(_FLOOR): metric
        for name, metric in manifest.metrics.items()
        if name.startswith(_FLOOR)
    }
    if floor:
        yield [bundle.name, "*training images*", *_format(floor)]


def _format(quality: Mapping[str, Metric]) -> list[str]:
    return [
        form.format(quality[name].value) if name in quality else ""
        for name, (_, form) in _COLUMNS.items()
    ]


def figures(arguments: list[str]) -> int:
    """Write the pages of figures: `latentd figures`."""
    parser = argparse.ArgumentParser("latentd figures", description=figures.__doc__)
    parser.add_argument("--store", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--out", type=Path, default=Path("docs/bundles.md"), help="page to write")
    parser.add_argument(
        "--samplers", type=Path, default=Path("docs/samplers.md"), help="page on sample quality"
    )
    given = parser.parse_args(arguments)
    given.out.write_text(write_figures(given.store))
    given.samplers.write_text(write_samplers_table(given.store))
    print(f"wrote {given.out} and {given.samplers}")
    return 0
