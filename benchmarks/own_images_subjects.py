"""One autoencoder of `benchmarks.own_images`, trained for a given CPU time: prints JSON.

It runs in a process of its own with one thread, with latentd's or the peers' packages. Every
subject receives the same arrays and number of latents; validation images may stop its training.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Reconstruct: TypeAlias = Callable[[Floats], Floats]
"""Test images (N, C, H, W) in [0, 1] -> reconstructions of the same shape."""

SEED = 20
_BATCH = 100  # pythae's default; Keras' example has 128


def run_pca(data: dict[str, Any], latents: int, _seconds: float) -> tuple[Reconstruct, int]:
    """scikit-learn's PCA."""
    from sklearn.decomposition import PCA

    rows = data["train"].reshape(len(data["train"]), -1)
    model = PCA(min(latents, len(rows)), svd_solver="randomized", random_state=SEED).fit(rows)

    def reconstruct(images: Floats) -> Floats:
        codes = model.transform(images.reshape(len(images), -1))
        return np.clip(model.inverse_transform(codes), 0, 1).reshape(images.shape)

    return reconstruct, model.components_.nbytes + model.mean_.nbytes


def run_latentd(data: dict[str, Any], latents: int, seconds: float) -> tuple[Reconstruct, int]:
    """The autoencoder of the default recipe, planned by CPU time."""
    from service.artifact import ImageSpec
    from training.baseline.measure import fit_baseline
    from training.data.splits import LabelledImages, Splits
    from training.fitting.budget import plan_time
    from training.fitting.examples import Examples
    from training.fitting.network_set import fit_networks
    from training.fitting.tasks import FitContext
    from training.publishing.export import export_graphs, list_sources
    from training.recipe.parsing import override, parse_recipe, read_recipe

    members = read_recipe("default")
    changes: list[tuple[str, Any]] = [("name", "own"), ("data", {"dataset": "own"})]
    changes += [(name, None) for name in ("vae", "classifier")]
    changes += [("seed", SEED), ("minutes", seconds / 60 / 0.9)]
    changes += [("autoencoder.latent_size", latents), ("autoencoder.explained_variance", None)]
    parts = [
        LabelledImages((255 * data[name]).round().astype(np.uint8), None)
        for name in ("train", "validation", "test")
    ]
    channels, height, width = parts[0].pixels.shape[1:]
    image = ImageSpec.model_validate(
        {"channels": channels, "height": height, "width": width, "background": (0.0,) * channels}
    )
    splits = Splits("own", image, None, *parts)
    recipe, baseline = fit_baseline(parse_recipe(override(members, changes)), splits)
    device = torch.device("cpu")
    training, validation = (Examples.from_images(part, device) for part in parts[:2])
    with tempfile.TemporaryDirectory() as folder:
        context = FitContext(recipe, Path(folder), device, training, validation, baseline=baseline)
        planned = plan_time(context, time.process_time)
        networks = fit_networks(replace(context, recipe=planned))
    probes = torch.from_numpy(np.resize(data["test"], (40, *image.shape)))
    size_bytes = sum(
        len(export_graphs(source, ("onnx",))["onnx"].content)
        for source in list_sources(networks, probes)
    )
    return _wrap(networks.autoencoder), size_bytes


def run_pythae_ae(data: dict[str, Any], latents: int, seconds: float) -> tuple[Reconstruct, int]:
    """pythae's AE with its default networks, a dense layer of 512 units each, and its trainer."""
    from pythae.models import AE, AEConfig

    return _run_pythae(data, seconds, AE(AEConfig(input_dim=_shape(data), latent_dim=latents)))


def run_pythae_vae(data: dict[str, Any], latents: int, seconds: float) -> tuple[Reconstruct, int]:
    """pythae's VAE with its default networks and trainer."""
    from pythae.models import VAE, VAEConfig

    return _run_pythae(data, seconds, VAE(VAEConfig(input_dim=_shape(data), latent_dim=latents)))


def _run_pythae(data: dict[str, Any], seconds: float, model: Any) -> tuple[Reconstruct, int]:
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Stop(TrainingCallback):
        """Ends the training when the CPU time is used."""

        def on_epoch_end(self, training_config: Any, **_: Any) -> None:
            if time.process_time() - started > seconds:
                raise TimeoutError

    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(output_dir=folder, num_epochs=100_000, no_cuda=True, seed=SEED)
        started = time.process_time()
        with contextlib.suppress(TimeoutError):
            TrainingPipeline(model=model, training_config=config)(
                train_data=data["train"], eval_data=data["validation"], callbacks=[Stop()]
            )

    def reconstruct(images: Floats) -> Floats:
        with torch.no_grad():
            restored: Floats = model.reconstruct(torch.from_numpy(images)).numpy()
        return restored.reshape(images.shape).clip(0, 1)

    return reconstruct, 4 * sum(weights.numel() for weights in model.parameters())


def run_keras(data: dict[str, Any], latents: int, seconds: float) -> tuple[Reconstruct, int]:
    """The convolutional networks of keras.io's autoencoder example, with dense latents."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import layers

    keras.utils.set_random_seed(SEED)
    channels, height, width = _shape(data)
    rows, columns = -(-height // 4), -(-width // 4)
    relu: dict[str, Any] = {"activation": "relu", "padding": "same", "strides": 2}
    model = keras.Sequential(
        [
            layers.Input((height, width, channels)),
            layers.Conv2D(32, 3, **relu),
            layers.Conv2D(64, 3, **relu),
            layers.Flatten(),
            layers.Dense(latents),
            layers.Dense(rows * columns * 64, activation="relu"),
            layers.Reshape((rows, columns, 64)),
            layers.Conv2DTranspose(64, 3, **relu),
            layers.Conv2DTranspose(32, 3, **relu),
            layers.Conv2D(channels, 3, activation="sigmoid", padding="same"),
            layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width))),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    train, validation = (_last(data[name]) for name in ("train", "validation"))
    started = time.process_time()

    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        """Ends the training when the CPU time is used."""

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.model.stop_training = time.process_time() - started > seconds

    model.fit(
        train,
        train,
        batch_size=128,
        epochs=100_000,
        verbose=0,
        validation_data=(validation, validation),
        callbacks=[Stop()],
    )

    def reconstruct(images: Floats) -> Floats:
        restored: Floats = model.predict(_last(images), verbose=0)
        return np.ascontiguousarray(restored.transpose(0, 3, 1, 2))

    return reconstruct, 4 * model.count_params()


def _last(images: Floats) -> Floats:
    """Return images with the channels last."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _shape(data: dict[str, Any]) -> tuple[int, int, int]:
    channels, height, width = data["train"].shape[1:]
    return channels, height, width


def _wrap(network: torch.nn.Module) -> Reconstruct:
    def reconstruct(images: Floats) -> Floats:
        with torch.no_grad():
            batches = torch.from_numpy(images).split(256)
            restored: Floats = torch.cat([network.eval()(batch) for batch in batches]).numpy()
        return restored

    return reconstruct


SUBJECTS = {
    "latentd": run_latentd,
    "PCA": run_pca,
    "pythae AE": run_pythae_ae,
    "pythae VAE": run_pythae_vae,
    "Keras example": run_keras,
}


def main() -> None:
    """Train the subject that the arguments name, and print its test metrics."""
    name, file, latents, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    with np.load(file) as arrays:
        data = {key: arrays[key].astype(np.float32) / 255 for key in arrays.files}
    started = time.process_time()
    reconstruct, size = SUBJECTS[name](data, int(latents), float(seconds))
    used = time.process_time() - started
    restored = reconstruct(data["test"])
    np.save(f"{file}.{name.replace(' ', '-')}.npy", restored)
    print(json.dumps({"seconds": round(used), "bytes": size}))


if __name__ == "__main__":
    main()
