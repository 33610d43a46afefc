"""Images for the models, and the files that a script leaves behind."""

import json
import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
TESTED = 8
"""Images whose codes and reconstructions are compared."""
sys.path[:0] = [str(ROOT), str(ROOT / "client")]


def load_mnist(count=1500):
    """Return images of MNIST (N, 1, 28, 28) uint8, and labels."""
    folder = Path(os.environ.get("LATENTD_DATA", "data")) / "MNIST" / "raw"
    pixels = np.fromfile(folder / "train-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(folder / "train-labels-idx1-ubyte", np.uint8, offset=8)
    return pixels.reshape(-1, 1, 28, 28)[:count], labels[:count].astype(np.int64)


def load_crops(count, side):
    """Return random square crops of scikit-learn's two photographs, (N, 3, side, side) uint8."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    crops = []
    for index in range(count):
        photo = photos[index % len(photos)]
        top, left = (rng.integers(size - side + 1) for size in photo.shape[:2])
        crops.append(photo[top : top + side, left : left + side].transpose(2, 0, 1))
    return np.stack(crops)


def to_floats(pixels):
    """Return uint8 pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def write_files(folder, pixels, *, labels, flags, codes, images):
    """Write the images, the flags, and the original's results.

    Args:
        folder: The output folder.
        pixels: (N, C, H, W) uint8.
        labels: (N,), or None.
        flags: The flags of `latentd import` besides `--data`.
        codes: The original's codes of the first `TESTED` images, in its own shape.
        images: The original's reconstructions of them, (N, C, H, W) in [0, 1].
    """
    labelled = {} if labels is None else {"labels": labels}
    np.savez(folder / "images.npz", images=pixels, **labelled)
    np.savez(
        folder / "reference.npz",
        images=pixels[:TESTED],
        codes=np.asarray(codes, np.float32).reshape(TESTED, -1),
        reconstructions=np.asarray(images, np.float32),
    )
    (folder / "arguments.json").write_text(json.dumps(flags))
