"""The classifier that all peers share: the bundle's graph on ONNX Runtime with one thread.

The session options are those of latentd with `--threads 1`.
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

BUNDLE = Path(os.environ["BENCHMARK_BUNDLE"])
"""Folder of a bundle with a classifier."""


class Classifier:
    """Classifies grey images."""

    def __init__(self) -> None:
        """Load the graph and the class names."""
        manifest = json.loads((BUNDLE / "manifest.json").read_text())
        self.classes: list[str] = manifest["classes"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(BUNDLE / "classifier.onnx", options)
        self.input = self.session.get_inputs()[0].name

    def classify_file(self, content: bytes) -> tuple[str, list[float]]:
        """Return the label and the class probabilities of a PNG file."""
        return self.classify_image(Image.open(io.BytesIO(content)))

    def classify_image(self, image: Image.Image) -> tuple[str, list[float]]:
        """Return the label and the class probabilities of a Pillow image."""
        return self.classify_pixels(np.asarray(image.convert("L"), np.float32) / 255)

    def classify_pixels(self, pixels: np.ndarray) -> tuple[str, list[float]]:
        """Return the label and the class probabilities of (H, W) float32 in [0, 1]."""
        (probabilities,) = self.session.run(None, {self.input: pixels[None, None]})
        return self.classes[int(probabilities[0].argmax())], probabilities[0].tolist()
