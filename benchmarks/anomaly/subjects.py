"""Splits of the protocols, and detectors fitted to them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from sklearn.metrics import roc_auc_score

from service.artifact import ImageSpec
from service.artifact.detectors import StoredDetector
from service.artifact.detectors.combined import resize_maps
from training.anomaly.detectors import FittedDetectors, fit_detectors, to_floats
from training.baseline.components import fit_subspace
from training.data.splits import LabelledImages, Pixels, Splits, hold_out
from training.fitting.network_set import NetworkSet
from training.networks.autoencoders import Autoencoder
from training.networks.residual import drop_refinement
from training.recipe.parsing import parse_recipe

_LATENTS = 32
_VALIDATION = 0.1


@contextmanager
def fit(normal: Pixels, seed: int) -> Iterator[FittedDetectors]:
    """Fit the detectors to normal images (N, C, H, W); a tenth of them calibrates and chooses.

    The autoencoder is PCA with 32 numbers, at which the default recipe starts.
    """
    channels, height, width = normal.shape[1:]
    kept, held = hold_out(len(normal), None, _VALIDATION, seed, "validation")
    images = LabelledImages(normal, None)
    spec = ImageSpec.model_validate(
        {
            "channels": channels,
            "height": height,
            "width": width,
            "background": (0.0,) * channels,
        }
    )
    empty = images.take(held[:1])
    splits = Splits("normal", spec, None, images.take(kept), images.take(held), empty)
    autoencoder = {"architecture": "residual", "latent_size": _LATENTS}
    recipe = parse_recipe(
        {"name": "normal", "seed": seed, "data": {"dataset": "x"}, "autoencoder": autoencoder}
    )
    subspace = fit_subspace(splits.train.pixels, _LATENTS, seed, 1)
    network = Autoencoder((channels, height, width), recipe.autoencoder, subspace).eval()
    drop_refinement(network.encoder, network.decoder)
    networks = cast("NetworkSet", SimpleNamespace(autoencoder=network))
    with tempfile.TemporaryDirectory(prefix="latentd-") as scratch:
        yield fit_detectors(recipe, splits, networks, Path(scratch) / "detectors", print)


def measure(fitted: FittedDetectors, normal: Pixels, anomalous: Pixels) -> dict[str, float]:
    """Return the AUROC of images by each detector, and by `default`."""
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    images = to_floats(np.concatenate([normal, anomalous]))
    single = {n: d for n, d in fitted.detectors.items() if isinstance(d, StoredDetector)}
    raw = fitted.runner.measure_raw(single, images)  # each network runs once
    scores = {name: each.calibration.standardise(raw[name]) for name, each in single.items()}
    members = fitted.specs[fitted.default].members or (fitted.default,)
    scores["default"] = np.max([scores[name] for name in members], axis=0)
    return {name: float(roc_auc_score(labels, each)) for name, each in scores.items()}


def measure_pixels(fitted: FittedDetectors, images: Pixels, masks: np.ndarray) -> float:
    """Return the AUROC of pixels by the default detector; NaN if it has no map."""
    maps = fitted.detect(fitted.default, images).maps
    if maps is None:
        return float("nan")
    return float(roc_auc_score(masks.ravel(), resize_maps(maps, masks.shape[1:]).ravel()))
