"""Results of the operations.

Letters in shapes: N images, C channels, H height, W width, L latent size.
"""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """Latent codes of images."""

    latents: Floats
    """(N, L); the means if the space is `vae`."""
    log_variances: Floats | None
    """(N, L) if the space is `vae`, otherwise None."""


@dataclass(frozen=True, slots=True)
class ReconstructResult:
    """Images after encoding and decoding."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    mse: Floats
    """(N,) mean squared error per pixel."""
    anomaly_percentile: Floats
    """(N,) percentage of the test set with an error at most as large; near 100 is an anomaly."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box around connected places over the threshold, in pixels of the model's images."""

    left: int
    top: int
    width: int
    height: int
    score: float
    """The largest score in it."""


@dataclass(frozen=True, slots=True)
class DetectResult:
    """Anomalies of images."""

    scores: Floats
    """(N,): 0 for a typical normal image, 1 at the threshold of a false-alarm rate of 1 %."""
    is_anomaly: NDArray[np.bool_]
    """(N,) whether the score is over the threshold."""
    percentiles: Floats
    """(N,) percentage of held-out normal images with at most this score."""
    threshold: float
    method: str
    heatmaps: Floats | None
    """(N, 1, H, W) the score of each place, with `heatmap="array"`."""
    regions: list[list[Region]] | None
    """The strongest regions of each image, with `heatmap="array"`."""


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Generated images."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    latents: Floats
    """(N, L), from which the images were decoded."""
    seed: int
    """Reproduces the images."""
    source: str
    """The sample source."""
    space: str
    """The latent space of `latents`: `autoencoder`, `vae` or `gan`."""


@dataclass(frozen=True, slots=True)
class InterpolateResult:
    """Images along a line in latent space, both ends included."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    latents: Floats
    """(N, L), from which the images were decoded."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable class of an image."""

    label: str
    index: int
    probability: float
    top: dict[str, float]
    """The `top_k` most probable labels with their probabilities, in descending order."""


@dataclass(frozen=True, slots=True)
class LatentMap:
    """Latent codes of training images with their coordinates in two dimensions."""

    latents: Floats
    """(N, L)."""
    labels: NDArray[np.int64] | None
    """(N,) class indices; None for a data set without classes."""
    projections: dict[str, Floats]
    """(N, 2) by name: `pca` and `tsne`."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A few test images of a model."""

    images: Floats
    """(N, C, H, W) in [0, 1]."""
    labels: NDArray[np.int64] | None
    """(N,) class indices; None for a data set without classes."""


def to_floats(numbers: ArrayLike) -> Floats:
    """Return nested numbers or an array as float32."""
    return np.asarray(numbers, np.float32)


def read_encoding(response: dict[str, Any]) -> EncodeResult:
    """Read the response of `encode`."""
    log_variances = response.get("log_variances")
    return EncodeResult(
        latents=to_floats(response["latents"]),
        log_variances=None if log_variances is None else to_floats(log_variances),
    )


def read_reconstruction(response: dict[str, Any]) -> ReconstructResult:
    """Read the response of `reconstruct`."""
    return ReconstructResult(
        images=to_floats(response["images"]),
        mse=to_floats(response["mse"]),
        anomaly_percentile=to_floats(response["anomaly_percentile"]),
    )


def read_detections(response: dict[str, Any]) -> DetectResult:
    """Read the response of `detect`."""
    found = response["detections"]
    has_maps = "heatmaps" in response
    return DetectResult(
        scores=to_floats([each["score"] for each in found]),
        is_anomaly=np.array([each["is_anomaly"] for each in found], np.bool_),
        percentiles=to_floats([each["percentile"] for each in found]),
        threshold=response["threshold"],
        method=response["method"],
        heatmaps=to_floats(response["heatmaps"]) if has_maps else None,
        regions=(
            [[Region(**region) for region in each["regions"]] for each in found]
            if has_maps
            else None
        ),
    )


def read_predictions(response: dict[str, Any]) -> list[Prediction]:
    """Read the response of `classify`."""
    return [
        Prediction(
            label=prediction["label"],
            index=prediction["index"],
            probability=prediction["probability"],
            top={entry["label"]: entry["probability"] for entry in prediction["top"]},
        )
        for prediction in response["predictions"]
    ]


def read_samples(response: dict[str, Any]) -> SampleResult:
    """Read the response of `sample`."""
    return SampleResult(
        images=to_floats(response["images"]),
        latents=to_floats(response["latents"]),
        seed=response["seed"],
        source=response["source"],
        space=response["space"],
    )


def read_line(response: dict[str, Any]) -> InterpolateResult:
    """Read the response of `interpolate`."""
    return InterpolateResult(
        images=to_floats(response["images"]), latents=to_floats(response["latents"])
    )


def read_map(response: dict[str, Any]) -> LatentMap:
    """Read a latent map."""
    labels = response["labels"]
    return LatentMap(
        latents=to_floats(response["latents"]),
        labels=None if labels is None else np.array(labels, np.int64),
        projections={name: to_floats(points) for name, points in response["projections"].items()},
    )


def read_examples(response: dict[str, Any]) -> Examples:
    """Read a model's examples, base64 PNG files."""
    labels = response["labels"]
    pictures = [Image.open(BytesIO(base64.b64decode(text))) for text in response["images"]]
    pixels = np.stack([np.atleast_3d(np.asarray(picture)) for picture in pictures])
    return Examples(
        images=pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255),
        labels=None if labels is None else np.array(labels, np.int64),
    )
