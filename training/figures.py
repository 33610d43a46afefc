"""The table of what is measured of the bundles in a store, written from their manifests."""

import argparse
from pathlib import Path

from service.artifact import Bundle, list_bundles, open_bundle

_HEAD = """\
# The bundles

Written by `{command}` from the manifests of the highest versions; every figure was measured once,
on the named split, by the command that trained the bundle.

"""


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


def figures(arguments: list[str]) -> int:
    """Write the page of figures: `latentd figures`."""
    parser = argparse.ArgumentParser("latentd figures", description=figures.__doc__)
    parser.add_argument("--store", type=Path, default=Path("models_store"), help="models store")
    parser.add_argument("--out", type=Path, default=Path("docs/bundles.md"), help="page to write")
    given = parser.parse_args(arguments)
    given.out.write_text(write_figures(given.store))
    print(f"wrote {given.out}")
    return 0
