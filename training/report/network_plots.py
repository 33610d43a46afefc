"""Plots of a run's networks, for its report: losses, reconstructions, accuracy, robustness."""

import json
from collections.abc import Sequence

import numpy as np
import torch

from service.artifact.specs import FLOWS
from training.evaluation.metrics import NOISE_FACTORS
from training.fitting.examples import Examples
from training.fitting.losses import add_noise
from training.fitting.runs.checkpoints import HISTORY_FILE
from training.fitting.runs.run_folders import SAMPLERS_FOLDER
from training.networks.layers import find_device
from training.randomness import make_generator
from training.recipe.schema import NETWORKS
from training.report.context import CPU, Plot, ReportContext, make_plot, run_network
from training.report.plots.curves import History, draw_confusion, draw_losses, draw_sweeps
from training.report.plots.image_grids import draw_image_grid

_NAMES = {"vae": "VAE", "gan": "GAN", "vae_flow": "flow (VAE)"}


def draw_networks(context: ReportContext) -> list[Plot]:
    """Return the plots of each network."""
    plots = [
        _draw_losses(context),
        _draw_reconstructions(context),
        _draw_denoising(context),
        _draw_confusion(context),
        _draw_robustness(context),
    ]
    return [plot for plot in plots if plot is not None]


def _draw_losses(context: ReportContext) -> Plot | None:
    histories = {}
    folders = {name: name for name in NETWORKS}
    folders |= {name: f"{SAMPLERS_FOLDER}/{name}" for name in FLOWS.values()}
    for name, folder in folders.items():
        path = context.trained.run.folder / folder / HISTORY_FILE
        if path.exists():
            history = json.loads(path.read_text())
            histories[_NAMES.get(name, name)] = History(
                _list_losses(history["epochs"]), history.get("best_epoch")
            )
    if not histories:
        return None
    return make_plot(
        draw_losses(histories),
        "losses",
        "Loss curves",
        "Training and validation loss of each network. The weights with the lowest validation loss "
        "are kept. Losses: mean squared error for the autoencoder and the denoiser, cross-entropy "
        "for the classifier, negative evidence lower bound in nats per image for the VAE, mean "
        "squared error of the velocity for a flow.",
        f"Line charts of loss against epoch for {', '.join(histories)}.",
    )


def _list_losses(epochs: list[dict[str, float]]) -> dict[str, list[float]]:
    keys = [key for key in epochs[0] if key.endswith("_loss")]
    return {
        key.removesuffix("_loss").replace("train", "training"): [epoch[key] for epoch in epochs]
        for key in keys
    }


def _draw_reconstructions(context: ReportContext) -> Plot | None:
    if not context.shows_images:
        return None
    networks, originals = context.trained.networks, context.originals
    rows, notes = {"original": originals}, [""] * len(originals)
    for name, network in (("autoencoder", networks.autoencoder), ("VAE", networks.vae)):
        if network is not None:
            rows[name] = run_network(network, originals)
            errors = np.square(rows[name] - originals).mean(axis=(1, 2, 3))
            notes = [f"{note}\n{error:.4f}" for note, error in zip(notes, errors, strict=True)]
    notes = [note.strip() for note in notes]
    shown = "test images" if context.classes is None else "test image of each class"
    return make_plot(
        draw_image_grid(np.stack([*rows.values()]), [*rows], notes=notes),
        "reconstructions",
        "Reconstructions",
        f"The first {shown}, with reconstructions. Below each column: the mean squared error of "
        "each network, in the order of the rows.",
        f"Rows of images: {', '.join(rows)}, with the error of each reconstruction.",
    )


def _draw_denoising(context: ReportContext) -> Plot | None:
    network = context.trained.networks.denoiser
    if network is None or not context.shows_images:
        return None
    clean = torch.from_numpy(context.originals)
    rows = {"clean": context.originals}
    for factor in NOISE_FACTORS:
        generator = make_generator(CPU, context.trained.recipe.seed, "report", str(factor))
        noisy = add_noise(clean, factor, generator).numpy()
        rows[f"noise {factor}"] = noisy
        rows[f"denoised {factor}"] = run_network(network, noisy)
    labels = [label.partition(" ")[0] if "denoised" in label else label for label in rows]
    return make_plot(
        draw_image_grid(np.stack([*rows.values()]), labels),
        "denoising",
        "Denoising",
        "Test images, noisy versions (Gaussian noise with a standard deviation of 0.3 and 0.6, "
        "clipped), and the output of the denoiser for each.",
        "Rows of images: clean, noisy at 0.3, denoised, noisy at 0.6, denoised.",
    )


def _draw_confusion(context: ReportContext) -> Plot | None:
    classifier, test = context.trained.networks.classifier, context.trained.splits.test
    if classifier is None or test.labels is None or context.classes is None:
        return None
    with torch.no_grad():
        batches = Examples.from_images(test, find_device(classifier)).batches()
        predicted = torch.cat([classifier(batch).argmax(dim=1) for batch, _ in batches])
    count = len(context.classes)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (test.labels, predicted.cpu().numpy()), 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    accuracy = 100 * np.trace(matrix) / len(test)
    return make_plot(
        draw_confusion(shares, context.classes),
        "confusion",
        "Confusion matrix",
        f"Predicted classes of the test images, in percent of each true class. "
        f"Accuracy: {accuracy:.2f} % of {len(test):,} images.",
        "Matrix of true against predicted classes; the diagonal is "
        + ", ".join(
            f"{name} {100 * share:.0f} %"
            for name, share in zip(context.classes, np.diag(shares), strict=True)
        )
        + ".",
    )


def _draw_robustness(context: ReportContext) -> Plot:
    robustness = context.trained.robustness
    noise, occlusion = (
        {_NAMES.get(name, name): line for name, line in lines.items()}
        for lines in (robustness.noise, robustness.occlusion)
    )
    height, width = context.originals.shape[2:]
    sweeps: dict[str, tuple[Sequence[float], dict[str, list[float]]]] = {
        "standard deviation of the noise": (robustness.noise_factors, noise),
        f"side of the black square, pixels (of {height} x {width})": (
            robustness.occluded_sides,
            occlusion,
        ),
    }
    return make_plot(
        draw_sweeps(sweeps),
        "robustness",
        "Robustness",
        "Mean squared error against the clean image, for inputs with clipped noise or with a black "
        f"square at a random position; {robustness.images:,} test images.",
        "Two line charts: error against noise and against the side of a black square, for "
        + ", ".join(noise)
        + ".",
    )
