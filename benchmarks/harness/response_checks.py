"""Whether what a server answers is right: who answers nonsense is fast."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from loads import Request
from servers import HOST

_TOLERANCE = 1e-4
_TIMEOUT = 30.0

Predict: TypeAlias = Callable[[Any], tuple[str, Mapping[str, float]]]
"""Finds the label, and the probability of each class, in an answer."""


def read_classes(bundle: Path) -> list[str]:
    """Return the names of a bundle's classes."""
    classes: list[str] = json.loads((bundle / "manifest.json").read_text())["classes"]
    return classes


def open_session(file: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Load a graph into this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(file, options)


def classify(bundle: Path, pixels: np.ndarray) -> dict[str, float]:
    """Return each class's probability of an image, (H, W) uint8, by the bundle's graph itself."""
    session = open_session(bundle / "classifier.onnx")
    images = pixels[None, None].astype(np.float32) / 255
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: images})
    return dict(zip(read_classes(bundle), probabilities[0].tolist(), strict=True))


def prepare(port: int, request: Request) -> urllib.request.Request:
    """Return a request as the standard library sends it."""
    return urllib.request.Request(
        f"http://{HOST}:{port}{request.path}",
        request.body or None,
        {"Content-Type": request.content_type, **dict(request.headers)},
        method=request.method,
    )


def ask(port: int, request: Request) -> bytes:
    """Return the body of the answer to a request.

    Raises:
        OSError: there is none, or its status is no good.
    """
    with urllib.request.urlopen(prepare(port, request), timeout=_TIMEOUT) as answer:  # noqa: S310 - the loopback
        body: bytes = answer.read()
        return body


def check_answer(body: bytes, predict: Predict, truth: Mapping[str, float]) -> None:
    """Compare an answer with what the graph itself gives.

    Raises:
        RuntimeError: the label or a probability is wrong.
    """
    label, probabilities = predict(json.loads(body))
    best = max(truth, key=lambda name: truth[name])
    if label != best:
        raise RuntimeError(f"answered {label}, and it is {best}")
    if probabilities.keys() != truth.keys():
        raise RuntimeError(f"answered probabilities of {sorted(probabilities)}")
    worst = max(abs(probabilities[name] - truth[name]) for name in truth)
    if worst > _TOLERANCE:
        raise RuntimeError(f"a probability is wrong by {worst:g}")
