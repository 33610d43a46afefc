"""The real test images that everything is measured with."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from service.artifact import list_bundles

SHIPPED = Path(__file__).parents[2] / "models_store"
_SIDE = 28
_HEADER_BYTES = 16


def read_images(count: int) -> np.ndarray:
    """Return the first images of Fashion-MNIST's test set, (N, 28, 28) uint8.

    Raises:
        RuntimeError: they are not where `LATENTD_DATA` says.
    """
    folder = Path(os.environ.get("LATENTD_DATA", "data")) / "FashionMNIST" / "raw"
    file = folder / "t10k-images-idx3-ubyte"
    if not file.is_file():
        raise RuntimeError(f"no {file.name} in LATENTD_DATA/FashionMNIST/raw")
    pixels = np.fromfile(file, np.uint8, count * _SIDE * _SIDE, offset=_HEADER_BYTES)
    return pixels.reshape(count, _SIDE, _SIDE)


def to_png(pixels: np.ndarray) -> bytes:
    """Return an image, (H, W) uint8, as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def find_bundle(name: str = "fashion-mnist") -> Path:
    """Return the folder of a shipped bundle's highest version."""
    return SHIPPED / name / str(list_bundles(SHIPPED)[name][0])
