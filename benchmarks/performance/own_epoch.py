"""One epoch of latentd's own training loop, in a process of its own.

usage: python -m performance.own_epoch SPEC, as `benchmarks/peers/lightning/app.py` takes it.
Prints the seconds that `training.fitting.loop.fit` took.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from training.data.splits import LabelledImages
from training.fitting.examples import Examples
from training.fitting.loop import FitJob, fit
from training.fitting.losses import reconstruction_loss
from training.networks.autoencoders import Autoencoder
from training.recipe.schema import AutoencoderRecipe

# isort: split
# After `training`, which chooses how torch's threads wait, as in `latentd train`.
import torch
import torch._dynamo  # or the first optimiser would import it, for two seconds, while time is taken

_SHAPE = (1, 28, 28)
_HEADER_BYTES = 16
_SEED = 1


def read_examples(file: Path, start: int, count: int) -> Examples:
    """Return images from an IDX file, from `start` on."""
    size = int(np.prod(_SHAPE))
    pixels = np.fromfile(file, np.uint8, count * size, offset=_HEADER_BYTES + start * size)
    images = LabelledImages(pixels.reshape(count, *_SHAPE), np.zeros(count, np.int64))
    return Examples.from_images(images, torch.device("cpu"))


def train(spec: dict[str, Any]) -> float:
    """Train for one epoch; return the seconds that it took."""
    torch.manual_seed(_SEED)
    file = Path(spec["root"]) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    training = read_examples(file, 0, spec["train"])
    validation = read_examples(file, spec["train"], spec["validation"])
    recipe = AutoencoderRecipe(
        architecture="seed",
        latent_size=spec["latent_size"],
        epochs=1,
        batch_size=spec["batch_size"],
        learning_rate=spec["learning_rate"],
        optimizer="adam",
        weight_decay=0,
        schedule="constant",
    )
    network = Autoencoder(_SHAPE, recipe)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        job = FitJob(
            *("autoencoder", recipe, reconstruction_loss, _SEED),
            folder=Path(folder),
            device=torch.device("cpu"),
        )
        start = time.perf_counter()
        fit(network, job, training, validation)
        return time.perf_counter() - start


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    print(train(given))
