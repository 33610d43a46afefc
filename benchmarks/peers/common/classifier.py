"""The classifier as every peer runs it: the bundle's own graph on ONNX Runtime, with one thread."""

import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

BUNDLE = Path(os.environ["BENCHMARK_BUNDLE"])
"""The folder of a bundle with a classifier."""


class Classifier:
    """Gives pictures labels."""

    def __init__(self) -> None:
        """Load the graph and the names of the classes."""
        manifest = json.loads((BUNDLE / "manifest.json").read_text())
        self.classes: list[str] = manifest["classes"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(BUNDLE / "classifier.onnx", options)
        self.input = self.session.get_inputs()[0].name

    def classify_file(self, content: bytes) -> tuple[str, list[float]]:
        """Return the label and the probability of each class of a PNG file."""
        return self.classify_picture(Image.open(io.BytesIO(content)))

    def classify_picture(self, picture: Image.Image) -> tuple[str, list[float]]:
        """Return the label and the probability of each class of a picture."""
        return self.classify_pixels(np.asarray(picture.convert("L"), np.float32) / 255)

    def classify_pixels(self, pixels: np.ndarray) -> tuple[str, list[float]]:
        """Return the label and the probability of each class of (H, W) float32 in [0, 1]."""
        (probabilities,) = self.session.run(None, {self.input: pixels[None, None]})
        return self.classes[int(probabilities[0].argmax())], probabilities[0].tolist()
