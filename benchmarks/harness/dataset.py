"""Test images and shipped bundles that the benchmarks use."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

SHIPPED = Path(__file__).parents[2] / "models_store"
_SIDE = 28
_HEADER_BYTES = 16


def read_images(count: int) -> np.ndarray:
    """Return the first test images of Fashion-MNIST, (N, 28, 28) uint8.

    Raises:
        RuntimeError: The file is missing in `LATENTD_DATA`.
    """
    folder = Path(os.environ.get("LATENTD_DATA", "data")) / "FashionMNIST" / "raw"
    file = folder / "t10k-images-idx3-ubyte"
    if not file.is_file():
        raise RuntimeError(f"Expected {file.name} in LATENTD_DATA/FashionMNIST/raw.")
    pixels = np.fromfile(file, np.uint8, count * _SIDE * _SIDE, offset=_HEADER_BYTES)
    return pixels.reshape(count, _SIDE, _SIDE)


def to_png(pixels: np.ndarray) -> bytes:
    """Return an image, (H, W) uint8, as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def find_bundle(name: str = "fashion-mnist") -> Path:
    """Return the folder of the highest version of a shipped bundle."""
    return max((SHIPPED / name).glob("[0-9]*"), key=lambda version: int(version.name))
