"""One epoch of latentd's training loop in a separate process.

usage: python -m benchmarks.performance.own_epoch SPEC, with the SPEC of
`benchmarks/peers/lightning/app.py`. Prints JSON with the `seconds` of the training loop and the
number of `parameters` of the network.
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
# After `training`, which configures how torch's threads wait, as in `latentd train`.
import torch
import torch._dynamo  # the first optimiser imports it, which would add two seconds to the epoch

SHAPE = (1, 28, 28)
_HEADER_BYTES = 16
_SEED = 1


def read_examples(file: Path, start: int, count: int) -> Examples:
    """Return `count` images of an IDX file from index `start`."""
    size = int(np.prod(SHAPE))
    pixels = np.fromfile(file, np.uint8, count * size, offset=_HEADER_BYTES + start * size)
    images = LabelledImages(pixels.reshape(count, *SHAPE), np.zeros(count, np.int64))
    return Examples.from_images(images, torch.device("cpu"))


def make_recipe(spec: dict[str, Any]) -> AutoencoderRecipe:
    """Return the recipe of the reports' autoencoder for one epoch."""
    return AutoencoderRecipe(
        architecture="seed",
        latent_size=spec["latent_size"],
        epochs=1,
        batch_size=spec["batch_size"],
        learning_rate=spec["learning_rate"],
        optimizer="adam",
        weight_decay=0,
        schedule="constant",
    )


def train(spec: dict[str, Any]) -> dict[str, float]:
    """Train for one epoch; return its `seconds` and the number of `parameters`."""
    torch.manual_seed(_SEED)
    file = Path(spec["root"]) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    training = read_examples(file, 0, spec["train"])
    validation = read_examples(file, spec["train"], spec["validation"])
    recipe = make_recipe(spec)
    network = Autoencoder(SHAPE, recipe)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        job = FitJob(
            *("autoencoder", recipe, reconstruction_loss(recipe), _SEED),
            folder=Path(folder),
            device=torch.device("cpu"),
        )
        start = time.perf_counter()
        fit(network, job, training, validation)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "parameters": sum(one.numel() for one in network.parameters())}


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    print(json.dumps(train(spec)))
