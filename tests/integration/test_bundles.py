"""The bundles that come with latentd, on the real test sets, through both backends."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.artifact import SPACE_NETWORKS, list_bundles, open_bundle
from service.inference import operations
from service.inference.model import Model, load_model
from service.runtimes import open_runtime
from tests.support.requirements import require_data

STORE = Path(__file__).parents[2] / "models_store"
FOLDERS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
NAMES = sorted(FOLDERS)
BACKENDS = ("onnx", "torchscript")
MOST_BYTES = 13_500_000


@cache
def load(name: str, backend: str) -> Model:
    """Return the highest version of a bundle."""
    version = list_bundles(STORE)[name][0]
    return load_model(open_bundle(STORE, name, version), open_runtime(backend, 2))


@cache
def read_test_set(name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the test images, (N, 1, 28, 28) in [0, 1], and their labels."""
    raw = require_data() / FOLDERS[name] / "raw"
    pixels = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8, offset=8)
    return pixels.reshape(-1, 1, 28, 28).astype(np.float32) / 255, labels


@pytest.mark.parametrize("name", NAMES)
def test_company_changes_no_bit(name: str) -> None:
    """On ONNX Runtime an image gives the same numbers alone and in a batch of any size."""
    images, _ = read_test_set(name)
    model = load(name, "onnx")
    for network in ("encoder", "classifier", "denoiser"):
        alone = [model.run(network, images[index : index + 1])[0] for index in range(40)]
        for size in (2, 3, 8, 40):
            together = [
                model.run(network, images[start : min(start + size, 40)])[0]
                for start in range(0, 40, size)
            ]
            assert np.array_equal(np.concatenate(alone), np.concatenate(together))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "mse", "accuracy"), [("fashion-mnist", 0.0172, 83.5), ("mnist", 0.0172, 98.3)]
)
def test_figures_are_those_of_the_manifest(
    name: str, mse: float, accuracy: float, backend: str
) -> None:
    """What is served reconstructs and classifies as measured, and better than the reports."""
    images, labels = read_test_set(name)
    model = load(name, backend)

    measured_mse = operations.reconstruct(model, images, "autoencoder").mse.mean()
    predicted = model.run("classifier", images)[0].argmax(axis=1)
    measured_accuracy = 100 * (predicted == labels).mean()

    metrics = model.manifest.metrics
    assert metrics["reconstruction_mse"].count == len(images)
    assert measured_mse == pytest.approx(metrics["reconstruction_mse"].value, rel=1e-3)
    assert measured_accuracy == pytest.approx(metrics["classifier_accuracy"].value, abs=0.05)
    assert measured_mse < mse
    assert measured_accuracy > accuracy


@pytest.mark.parametrize(("name", "most"), [("fashion-mnist", 0.0246), ("mnist", 0.0246)])
def test_denoising_is_better_than_the_report(name: str, most: float) -> None:
    """Noise of 0.3 (report 000) is removed as measured, whatever its seed."""
    images, _ = read_test_set(name)
    model = load(name, "onnx")
    noise = np.random.default_rng(5).standard_normal(images.shape, dtype=np.float32)

    denoised = model.run("denoiser", np.clip(images + np.float32(0.3) * noise, 0, 1))[0]

    measured = np.square(denoised - images).mean()
    assert measured == pytest.approx(model.manifest.metrics["denoise_mse_0.3"].value, rel=0.02)
    assert measured < most


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_backends_agree_on_the_test_set(name: str, data: st.DataObject) -> None:
    """Every network gives the same on both backends to 1e-4, for any batch of test images."""
    images, _ = read_test_set(name)
    size = data.draw(st.integers(1, 300))
    start = data.draw(st.integers(0, len(images) - size))
    onnx, torchscript = (load(name, backend) for backend in BACKENDS)
    decoders = {decoder: encoder for encoder, decoder in SPACE_NETWORKS.values()}

    for network in onnx.networks:
        batch = images[start : start + size]
        if network == "generator":
            noise = np.random.default_rng(start)
            size_of_noise = onnx.manifest.latent_size("gan")
            batch = noise.standard_normal((size, size_of_noise), np.float32)
        elif network in decoders:
            batch = onnx.run(decoders[network], batch)[0]
        ours, theirs = onnx.run(network, batch), torchscript.run(network, batch)
        assert len(ours) == len(theirs)
        assert all(np.abs(a - b).max() <= 1e-4 for a, b in zip(ours, theirs, strict=True)), network


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), count=st.integers(1, 40))
@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_sample_on_both_backends(name: str, seed: int, count: int) -> None:
    """The same seed gives the same latents, and images equal to within 1/255."""
    models = [load(name, backend) for backend in BACKENDS]
    for source in models[0].samplers:
        first, second = (
            operations.sample(model, source, count, np.random.Generator(np.random.PCG64(seed)))
            for model in models
        )
        if models[0].manifest.samplers[source].kind == "gan-filtered":  # networks give its latents
            assert np.abs(first.latents - second.latents).max() <= 1e-4
        else:
            assert np.array_equal(first.latents, second.latents)
        assert np.abs(first.images - second.images).max() <= 1 / 255


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_a_class_are_of_that_class(name: str) -> None:
    """The bundle's own classifier recognises most of what the density draws for a class."""
    model = load(name, "onnx")
    hits = []
    for label in range(len(model.manifest.classes or ())):
        generator = np.random.Generator(np.random.PCG64(label))
        drawn = operations.sample(model, "kde", 200, generator, label=label).images
        hits.append((model.run("classifier", drawn)[0].argmax(axis=1) == label).mean())

    assert np.mean(hits) > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_bundles_are_small_and_whole(name: str) -> None:
    """Each bundle holds every network in both formats, within a few megabytes."""
    manifest = load(name, "onnx").manifest

    assert set(manifest.networks) == {
        "encoder",
        "decoder",
        "denoiser",
        "classifier",
        "vae_encoder",
        "vae_decoder",
        "generator",
    }
    assert all(set(network.formats) == set(BACKENDS) for network in manifest.networks.values())
    assert all(
        graph.parity <= 1e-4
        for network in manifest.networks.values()
        for graph in network.formats.values()
    )
    assert sum(entry.bytes for entry in manifest.files.values()) < MOST_BYTES
