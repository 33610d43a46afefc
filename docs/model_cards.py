"""Write docs/models/*.md: one model card for each included bundle.

A card combines the manifest of the bundle's highest version, the text of model_limitations.toml,
and the measurements in docs/models/*.json, which `--measure` renews.

usage: python docs/model_cards.py [--measure]        (data: LATENTD_DATA, default data)
"""

import json
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import Bundle, Manifest, list_bundles, open_bundle
from service.runtimes import open_runtime

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "models"
TEXTS: dict[str, Any] = tomllib.loads((ROOT / "docs" / "model_limitations.toml").read_text())
BACKGROUNDS = (0.0, 0.05, 0.09, 0.15, 0.2)

_CARD = """\
# {title}

Model card of the bundle `{name}`, version {version}. Written by `python docs/model_cards.py` from
the bundle's manifest.

## Intended use
{use}

## Training data
{data}

{splits}

## Networks

{networks}

## Metrics

{metrics}

[The bundles](../bundles.md) has all metrics.

## Sample sources

An independent classifier, the judge, measured the samples; [Samplers](../samplers.md) explains the
metrics. **Bold** is the default source.

{sources}

## Limitations

{limitations}

Accuracy of the classifier on the {count:,} test images if the background is grey: each pixel `x`
becomes `g + x * (1 - g)`.

{backgrounds}

## Provenance

{provenance}
"""
_METRICS = {
    "reconstruction_mse": "reconstruction error of the autoencoder",
    "vae_mse": "reconstruction error of the VAE",
    "denoise_mse_0.3": "error of the denoiser, noise of standard deviation 0.3",
    "denoise_mse_0.6": "error of the denoiser, noise of standard deviation 0.6",
    "classifier_accuracy": "accuracy of the classifier",
}
_QUALITY = ("recognisable", "frechet", "coverage", "memorisation", "near_copies")


def write_cards() -> dict[str, str]:
    """Return the text of each card by its file name."""
    return {
        f"{name}.md": write_card(
            open_bundle(ROOT / "models_store", name, versions[0]),
            TEXTS[name],
            json.loads((CARDS / f"{name}.json").read_text()),
        )
        for name, versions in list_bundles(ROOT / "models_store").items()
    }


def write_card(bundle: Bundle, texts: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """Return the text of one card."""
    manifest = bundle.manifest
    return _CARD.format(
        title=texts["title"],
        name=bundle.name,
        version=bundle.version,
        use=texts["use"],
        data=texts["data"],
        splits=table(("split", "images"), manifest.provenance.images.items()),
        networks=table(("network", "input", "outputs"), _list_networks(manifest)),
        metrics=table(("metric", "value", "unit", "split"), _list_metrics(manifest)),
        sources=table(("source", *_QUALITY), _list_sources(manifest)),
        limitations="\n".join(f"- {text}" for text in texts["limitations"]),
        count=measured["count"],
        backgrounds=table(("background g", "accuracy"), measured["accuracy"].items()),
        provenance=table(("", ""), _list_provenance(bundle)),
    )


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table, without a final line break."""
    head = tuple(head)
    return "\n".join(
        f"| {' | '.join(map(str, cells))} |" for cells in (head, ("---",) * len(head), *rows)
    )


def _list_networks(manifest: Manifest) -> Iterable[tuple[str, ...]]:
    for name, network in manifest.networks.items():
        outputs = ", ".join(
            f"{output.name} {' x '.join(map(str, output.shape))}" for output in network.outputs
        )
        yield name, " x ".join(map(str, network.input.shape)), outputs


def _list_metrics(manifest: Manifest) -> Iterable[tuple[str, ...]]:
    for name, meaning in _METRICS.items():
        metric = manifest.metrics[name]
        yield meaning, f"{metric.value:.4g}", metric.unit, metric.split


def _list_sources(manifest: Manifest) -> Iterable[tuple[str, ...]]:
    judged = {name: spec.quality for name, spec in manifest.samplers.items() if spec.quality}
    for name in sorted(judged, key=lambda name: judged[name]["frechet"].value):
        cells = [
            f"{judged[name][key].value:.3g}" if key in judged[name] else "" for key in _QUALITY
        ]
        yield f"**{name}**" if name == manifest.default_source else name, *cells


def _list_provenance(bundle: Bundle) -> Iterable[tuple[str, str]]:
    provenance = bundle.manifest.provenance
    libraries = provenance.libraries.items()
    yield "created", f"{provenance.created:%Y-%m-%d}"
    yield "command", f"`{provenance.command}`"
    yield "seed", str(provenance.seed)
    yield "data digest", f"`{provenance.dataset_digest}`"
    yield "epochs", ", ".join(f"{name} {count}" for name, count in provenance.epochs.items())
    yield "libraries", ", ".join(f"{name} {version}" for name, version in libraries)
    yield "manifest digest", f"`{bundle.digest}`"


def measure(name: str, root: Path) -> dict[str, Any]:
    """Return the classifier's accuracy in percent on test images with grey backgrounds."""
    bundle = open_bundle(ROOT / "models_store", name, list_bundles(ROOT / "models_store")[name][0])
    spec = bundle.manifest.networks["classifier"]
    classifier = open_runtime("onnx", 1).load(bundle.read(spec.formats["onnx"].file), spec)
    raw = root / TEXTS[name]["folder"] / "raw"
    labels = np.frombuffer((raw / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    pixels = np.frombuffer((raw / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    images = pixels.reshape(-1, *spec.input.shape).astype(np.float32) / np.float32(255)
    accuracy = {}
    for grey in map(np.float32, BACKGROUNDS):
        (probabilities,) = classifier.run(grey + images * (1 - grey))
        right = np.mean(probabilities.argmax(axis=1) == labels)
        accuracy[f"{grey:g}"] = f"{100 * right:.1f} %"
    return {"count": len(images), "accuracy": accuracy}


def main(arguments: list[str]) -> None:
    """Write all cards, after measuring if requested."""
    CARDS.mkdir(exist_ok=True)
    if "--measure" in arguments:
        for name in list_bundles(ROOT / "models_store"):
            measured = measure(name, Path(os.environ.get("LATENTD_DATA", "data")))
            (CARDS / f"{name}.json").write_text(json.dumps(measured, indent=2) + "\n")
    for name, text in write_cards().items():
        (CARDS / name).write_text(text)
        print(f"wrote {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
