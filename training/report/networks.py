"""Pictures of a trained run's networks, for its report: what each does to test images.

N images of C x H x W pixels in [0, 1]; L numbers in a code; K classes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.evaluation.metrics import NOISE_FACTORS
from training.evaluation.trained_run import Trained
from training.fitting.checkpoints import HISTORY_FILE
from training.fitting.loop import divide, to_float
from training.fitting.losses import add_noise
from training.randomness import make_generator
from training.recipe.schema import FITTED
from training.report.plots import (
    History,
    draw_confusion,
    draw_losses,
    draw_mosaic,
    draw_sweeps,
    write_png,
)

Floats = NDArray[np.float32]

_SHOWN = 10
_BATCH = 1024
_NAMES = {"vae": "VAE", "gan": "GAN"}
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the report."""

    name: str
    """Names its file."""
    title: str
    text: str
    """What is seen, and how it was made."""
    alt: str
    """What it shows, for those who do not see it."""
    content: bytes
    """A PNG file."""


@dataclass(frozen=True)
class Studio:
    """A trained run, and what several pictures need of it."""

    trained: Trained

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes' names."""
        return self.trained.splits.classes

    @cached_property
    def shown(self) -> LabelledImages:
        """Test images to show: the first of each class, or the first ones."""
        test = self.trained.splits.test
        if test.labels is None:
            return test.take(np.arange(min(_SHOWN, len(test))))
        _, first = np.unique(test.labels, return_index=True)
        return test.take(first[:_SHOWN])

    @cached_property
    def originals(self) -> Floats:
        """Those of `shown`, (N, C, H, W)."""
        return (self.shown.pixels / 255).astype(np.float32)

    def name_class(self, index: int) -> str:
        """Return a class's name."""
        return self.classes[index] if self.classes else str(index)


@torch.no_grad()
def run(network: Callable[[Tensor], Any], inputs: Floats) -> Floats:
    """Return the first output of a network for inputs of any number, on the CPU."""
    device = next(network.parameters()).device if isinstance(network, nn.Module) else CPU
    batches = torch.split(torch.from_numpy(np.ascontiguousarray(inputs)), _BATCH)
    outputs = [network(batch.to(device)) for batch in batches]
    firsts = [output[0] if isinstance(output, tuple) else output for output in outputs]
    found: Floats = torch.cat(firsts).cpu().numpy()
    return found


def take(figure: Figure, name: str, title: str, text: str, alt: str) -> Picture:
    """Return a figure as a picture."""
    return Picture(name, title, text, alt, write_png(figure))


def draw_networks(studio: Studio) -> list[Picture]:
    """Return what there is to see of each network."""
    drawn = [
        _draw_losses(studio),
        _draw_reconstructions(studio),
        _draw_denoising(studio),
        _draw_confusion(studio),
        _draw_robustness(studio),
    ]
    return [picture for picture in drawn if picture is not None]


def _draw_losses(studio: Studio) -> Picture | None:
    histories = {}
    for name in FITTED:
        path = studio.trained.run.folder / name / HISTORY_FILE
        if path.exists():
            found = json.loads(path.read_text())
            histories[_NAMES.get(name, name)] = History(
                _list_losses(found["epochs"]), found.get("best_epoch")
            )
    if not histories:
        return None
    return take(
        draw_losses(histories),
        "losses",
        "Loss curves",
        "Each network's own loss after each epoch. The weights with the lowest validation loss "
        "are kept. The autoencoder's and the denoiser's is the mean squared error, the "
        "classifier's the cross-entropy, the VAE's the negative bound in nats an image.",
        f"Line charts of loss against epoch for {', '.join(histories)}.",
    )


def _list_losses(epochs: list[dict[str, float]]) -> dict[str, list[float]]:
    keys = [key for key in epochs[0] if key.endswith("_loss")]
    return {
        key.removesuffix("_loss").replace("train", "training"): [epoch[key] for epoch in epochs]
        for key in keys
    }


def _draw_reconstructions(studio: Studio) -> Picture:
    networks, originals = studio.trained.networks, studio.originals
    rows, notes = {"original": originals}, [""] * len(originals)
    for name, network in (("autoencoder", networks.autoencoder), ("VAE", networks.vae)):
        if network is not None:
            rows[name] = run(network, originals)
            errors = np.square(rows[name] - originals).mean(axis=(1, 2, 3))
            notes = [f"{note}\n{error:.4f}" for note, error in zip(notes, errors, strict=True)]
    return take(
        draw_mosaic(np.stack([*rows.values()]), [*rows], notes=[note.strip() for note in notes]),
        "reconstructions",
        "Reconstructions",
        "Test images and what comes back, the first of each class. Below each column its mean "
        "squared error, one line a network in the order of the rows.",
        f"Rows of images: {', '.join(rows)}, with the error of each reconstruction.",
    )


def _draw_denoising(studio: Studio) -> Picture | None:
    network = studio.trained.networks.denoiser
    if network is None:
        return None
    clean = torch.from_numpy(studio.originals)
    rows = {"clean": studio.originals}
    for factor in NOISE_FACTORS:
        generator = make_generator(CPU, studio.trained.recipe.seed, "report", str(factor))
        noisy = add_noise(clean, factor, generator).numpy()
        rows[f"noise {factor}"] = noisy
        rows[f"denoised {factor}"] = run(network, noisy)
    labels = [label.partition(" ")[0] if "denoised" in label else label for label in rows]
    return take(
        draw_mosaic(np.stack([*rows.values()]), labels),
        "denoising",
        "Denoising",
        "Test images, the same with Gaussian noise of a standard deviation of 0.3 and of 0.6 "
        "added and clipped, and what the denoiser makes of each.",
        "Rows of images: clean, noisy at 0.3, denoised, noisy at 0.6, denoised.",
    )


def _draw_confusion(studio: Studio) -> Picture | None:
    classifier, test = studio.trained.networks.classifier, studio.trained.splits.test
    if classifier is None or test.labels is None or studio.classes is None:
        return None
    images = torch.from_numpy(test.pixels)
    parts = divide(torch.arange(len(test)), _BATCH)
    probabilities = [run(classifier, to_float(images[part]).numpy()) for part in parts]
    count = len(studio.classes)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (test.labels, np.concatenate(probabilities).argmax(axis=1)), 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    accuracy = 100 * np.trace(matrix) / len(test)
    return take(
        draw_confusion(shares, studio.classes),
        "confusion",
        "Confusion matrix",
        f"Where the classifier puts the test images of each class, in percent of the class. "
        f"Accuracy: {accuracy:.2f} % of {len(test):,} images.",
        "Matrix of true against predicted classes; on the diagonal "
        + ", ".join(
            f"{name} {100 * share:.0f} %"
            for name, share in zip(studio.classes, np.diag(shares), strict=True)
        )
        + ".",
    )


def _draw_robustness(studio: Studio) -> Picture:
    found = studio.trained.robustness
    noise, occlusion = (
        {_NAMES.get(name, name): line for name, line in lines.items()}
        for lines in (found.noise, found.occlusion)
    )
    height, width = studio.originals.shape[2:]
    sweeps: dict[str, tuple[Sequence[float], dict[str, list[float]]]] = {
        "standard deviation of the noise": (found.noise_factors, noise),
        f"side of the black square, pixels (of {height} x {width})": (
            found.occluded_sides,
            occlusion,
        ),
    }
    return take(
        draw_sweeps(sweeps),
        "robustness",
        "Robustness",
        f"Mean squared error against the clean image when a network sees it with noise added and "
        f"clipped, or with a black square at a random place; {found.images:,} test images.",
        "Two line charts: error against noise and against the side of a black square, for "
        + ", ".join(noise)
        + ".",
    )
