"""Measure how many digits on grey paper and under uneven light are classified correctly.

Each image of the MNIST test set is drawn with every ink on every paper, as a PNG file, and
classified with `invert=auto`. The table is Markdown.

    python -m benchmarks.papers --data FOLDER
"""

import argparse
import io
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.artifact import Manifest, list_bundles, open_bundle
from service.artifact.image_files import open_image
from service.artifact.pixels import Invert, to_pixels
from service.runtimes import Network, open_runtime

_STORE = Path(__file__).parents[1] / "models_store"
PAPERS = (160, 180, 200, 220, 235, 245, 255)
INKS = (0, 40, 80)
FALL_OFFS = (0.0, 0.2, 0.4)
"""Share of the light that is lost from one corner of the page to the opposite one."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (N, 28, 28) of 0 to 255 with their classes (N)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Classifier:
    """A network and the manifest of its bundle."""

    network: Network
    manifest: Manifest

    def measure(self, files: list[bytes], labels: NDArray[np.uint8], invert: Invert) -> float:
        """Return the percentage of image files that are classified correctly."""
        spec = self.manifest.image
        images = [to_pixels(open_image(file).decode_upright(), spec, invert) for file in files]
        batch = np.stack(images).astype(np.float32) / np.float32(255)
        (probabilities,) = self.network.run(batch)
        return 100 * float((probabilities.argmax(axis=1) == labels).mean())


def open_classifier(name: str = "mnist") -> Classifier:
    """Return the classifier of a shipped bundle."""
    bundle = open_bundle(_STORE, name, list_bundles(_STORE)[name][0])
    spec = bundle.manifest.networks["classifier"]
    graph = bundle.read(spec.formats["onnx"].file)
    return Classifier(open_runtime("onnx", 2).load(graph, spec), bundle.manifest)


def read_digits(folder: Path, count: int | None = None, dataset: str = "MNIST") -> Digits:
    """Return the first images of the test set of MNIST or FashionMNIST; None for all."""
    raw = folder / dataset / "raw"
    images = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8, offset=8)
    return Digits(images.reshape(-1, 28, 28)[:count], labels[:count])


def draw(digits: NDArray[np.uint8], paper: int, ink: int, fall_off: float = 0.0) -> list[bytes]:
    """Return PNG files of digits in an ink on a paper, lit from the top left corner."""
    ramp = np.linspace(0, 1, 28)
    light = 1 - fall_off * (ramp[:, None] + ramp) / 2
    pages = np.rint((paper + (ink - paper) * (digits / 255)) * light).astype(np.uint8)
    return [_save(page) for page in pages]


def _save(page: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(page).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LATENTD_DATA", "data")))
    parser.add_argument("--count", type=int, help="number of test images; all by default")
    flags = parser.parse_args()
    classifier, digits = open_classifier(), read_digits(flags.data, flags.count)
    clean = [_save(page) for page in digits.images]
    for invert in ("false", "auto"):
        share = classifier.measure(clean, digits.labels, invert)
        print(f"Unchanged test set of {len(clean)} images, invert={invert}: {share:.2f} %.")
    print("\n| light lost | paper | " + " | ".join(f"ink {ink}" for ink in INKS) + " |")
    print("| --- " * (2 + len(INKS)) + "|")
    for fall_off, paper in product(FALL_OFFS, PAPERS):
        shares = [
            classifier.measure(draw(digits.images, paper, ink, fall_off), digits.labels, "auto")
            for ink in INKS
        ]
        cells = " | ".join(f"{share:.2f} %" for share in shares)
        print(f"| {fall_off:.0%} | {paper} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
