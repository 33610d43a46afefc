"""Autoencoders for a folder of one's own images: `python -m benchmarks.own_images FOLDER ...`.

Writes docs/own-images.md. Each subject trains in its own process, with one thread, for the same CPU
time, on the same split and with the same number of latents. `--peers` names a Python that has
pythae, keras and torch.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.own_images_subjects import SUBJECTS
from training.baseline.similarity import mean_of, measure_pair
from training.data.datasets import read_data
from training.data.splits import Splits
from training.recipe.parsing import override, parse_recipe, read_recipe

PAGE = Path(__file__).parents[1] / "docs" / "own-images.md"
LINES = {"latentd": 0, "PCA": 4, "pythae AE": 8, "pythae VAE": 8, "Keras example": 22}
"""Lines of Python that a user writes; latentd needs one command."""
_HEAD = """\
# Own images

Reconstructions of a folder's test images by latentd's default recipe and by what one would write
instead. Written by `{command}` on {date} ({machine}, torch {torch}); do not edit it. Each subject
has the same images, split, number of latents and CPU time: {seconds:g} seconds of one thread (PCA
needs less). The error is the mean squared error per pixel in [0, 1], SSIM the structural similarity
(1 is equal), both on test images that chose nothing. Bundle or model: the encoder and the decoder.
Lines: Python that a user writes; latentd needs one command.

pythae has its default networks (dense layers) and trainer, the Keras example the convolutional
networks of keras.io's autoencoder with dense latents. The CPU seconds of latentd include its
PCA, the measurement of step times and the export, those of pythae its last epoch.
"""


class Row(NamedTuple):
    """What a subject reached on the test images."""

    subject: str
    error: float
    similarity: float
    megabytes: float
    seconds: int


def read_splits(folder: str, scratch: Path) -> Splits:
    """Read a folder, or a built-in data set, as the default recipe does."""
    members = override(read_recipe("default"), [("name", "own"), ("data.dataset", folder)])
    return read_data(parse_recipe(members), Path(os.environ.get("LATENTD_DATA", "data")), scratch)


def measure(splits: Splits, flags: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    """Train every subject on a folder, and yield its row."""
    file = scratch / f"{splits.dataset}.npz"
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    np.savez(file, **{name: part.pixels for name, part in parts.items()})
    originals = torch.from_numpy(splits.test.pixels).float() / 255
    for subject in flags.subjects:
        python = sys.executable if subject in ("latentd", "PCA") else flags.peers
        command = [python, "-m", "benchmarks.own_images_subjects", subject, str(file)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        output = subprocess.run(  # noqa: S603 - the arguments are this module's
            [*command, str(flags.latents), str(flags.seconds)],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        members = json.loads(output.decode().splitlines()[-1])
        restored = torch.from_numpy(np.load(f"{file}.{subject.replace(' ', '-')}.npy"))
        error, similarity = measure_pair(originals, restored)
        row = Row(
            subject,
            mean_of([error]),
            mean_of([similarity]),
            members["bytes"] / 1e6,
            members["seconds"],
        )
        print(splits.dataset, *row)
        yield row


def describe(splits: Splits, latents: int, rows: list[Row]) -> str:
    """Return a folder's section of the page."""
    counts = ", ".join(f"{count:,} {name}" for name, count in splits.count().items())
    shape = " x ".join(str(size) for size in splits.image.shape)
    lines = [
        f"\n## {splits.dataset}, {latents} latents\n",
        f"{counts} images of {shape} (channels x height x width).\n",
        "| | error | SSIM | MB | CPU seconds | lines |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row.subject} | {row.error:.5f} | {row.similarity:.3f} | {row.megabytes:.1f} "
            f"| {row.seconds} | {LINES[row.subject]} |"
            for row in rows
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every folder and write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.own_images")
    add = parser.add_argument
    add("folders", nargs="+", help="folders of images, or built-in data sets")
    add("--seconds", type=float, default=600, help="CPU time of each training (default: 600)")
    add("--latents", type=int, default=64, help="number of latents (default: 64)")
    add("--peers", default=sys.executable, help="Python with pythae, keras and torch")
    add("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    add("--page", type=Path, default=PAGE)
    flags = parser.parse_args()
    names = " ".join(Path(folder).name for folder in flags.folders)
    text = _HEAD.format(
        command=f"python -m benchmarks.own_images {names} --seconds {flags.seconds:g}",
        date=dt.datetime.now(dt.UTC).date(),
        machine=f"{platform.machine()}, {os.cpu_count()} CPUs",
        torch=torch.__version__,
        seconds=flags.seconds,
    )
    with tempfile.TemporaryDirectory() as folder:
        for source in flags.folders:
            splits = read_splits(source, Path(folder))
            text += describe(splits, flags.latents, list(measure(splits, flags, Path(folder))))
            flags.page.write_text(text)


if __name__ == "__main__":
    main()
