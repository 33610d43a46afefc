"""Verify that a server's predictions are correct before its speed is measured."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime

from benchmarks.harness.http_load import Request
from benchmarks.harness.servers import HOST

_TOLERANCE = 1e-4
_TIMEOUT = 30.0

ReadPrediction: TypeAlias = Callable[[Any], tuple[str, Mapping[str, float]]]
"""Returns the label and the probability of each class in a JSON response."""


def read_classes(bundle: Path) -> list[str]:
    """Return the class names of a bundle."""
    classes: list[str] = json.loads((bundle / "manifest.json").read_text())["classes"]
    return classes


def open_session(file: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session in this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(file, options)


def classify(bundle: Path, pixels: np.ndarray) -> dict[str, float]:
    """Return the probability of each class of an image, (H, W) uint8, from ONNX Runtime."""
    session = open_session(bundle / "classifier.onnx")
    images = pixels[None, None].astype(np.float32) / 255
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: images})
    return dict(zip(read_classes(bundle), probabilities[0].tolist(), strict=True))


def to_urllib(port: int, request: Request) -> urllib.request.Request:
    """Return a request for the standard library's client."""
    return urllib.request.Request(
        f"http://{HOST}:{port}{request.path}",
        request.body or None,
        {"Content-Type": request.content_type, **dict(request.headers)},
        method=request.method,
    )


def fetch(port: int, request: Request) -> bytes:
    """Return the body of the response to a request.

    Raises:
        OSError: The connection failed, or the status is an error.
    """
    with urllib.request.urlopen(to_urllib(port, request), timeout=_TIMEOUT) as response:  # noqa: S310 - the loopback
        body: bytes = response.read()
        return body


def check_prediction(
    body: bytes, read_prediction: ReadPrediction, expected: Mapping[str, float]
) -> None:
    """Compare a response with the probabilities from ONNX Runtime.

    Raises:
        RuntimeError: The label, the classes or a probability is wrong.
    """
    label, probabilities = read_prediction(json.loads(body))
    best = max(expected, key=lambda name: expected[name])
    if label != best:
        raise RuntimeError(f"Expected the label {best}, got {label}.")
    if probabilities.keys() != expected.keys():
        raise RuntimeError(
            f"Expected probabilities of {sorted(expected)}, got {sorted(probabilities)}."
        )
    worst = max(abs(probabilities[name] - expected[name]) for name in expected)
    if worst > _TOLERANCE:
        raise RuntimeError(f"A probability deviates by {worst:g}, the limit is {_TOLERANCE:g}.")
