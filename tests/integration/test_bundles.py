"""The shipped bundles, on the real test sets and with both backends."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.artifact import SPACE_NETWORKS, list_bundles, open_bundle
from service.artifact.specs import ANOMALY_MAPS, FLOWS, is_copying
from service.inference import operations
from service.inference.model import Model, load_model
from service.inference.operations import run_alone
from service.runtimes import open_runtime
from tests.support.requirements import require_data

STORE = Path(__file__).parents[2] / "models_store"
FOLDERS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
NAMES = sorted(FOLDERS)
BACKENDS = ("onnx", "torchscript")
MAX_BYTES = 17_000_000


@cache
def load(name: str, backend: str) -> Model:
    """Load the highest version of a bundle."""
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
def test_batching_does_not_change_any_bit(name: str) -> None:
    """On ONNX Runtime an image has identical outputs alone and in batches of any size."""
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
def test_metrics_match_the_manifest(name: str, mse: float, accuracy: float, backend: str) -> None:
    """Reconstruction and classification match the manifest and are better than the reports."""
    images, labels = read_test_set(name)
    model = load(name, backend)

    measured_mse = run_alone(model, operations.reconstruct(model, images, "autoencoder")).mse.mean()
    predicted = model.run("classifier", images)[0].argmax(axis=1)
    measured_accuracy = 100 * (predicted == labels).mean()

    metrics = model.manifest.metrics
    assert metrics["reconstruction_mse"].count == len(images)
    assert measured_mse == pytest.approx(metrics["reconstruction_mse"].value, rel=1e-3)
    assert measured_accuracy == pytest.approx(metrics["classifier_accuracy"].value, abs=0.05)
    assert measured_mse < mse
    assert measured_accuracy > accuracy


@pytest.mark.parametrize(("name", "limit"), [("fashion-mnist", 0.0246), ("mnist", 0.0246)])
def test_denoising_matches_the_manifest(name: str, limit: float) -> None:
    """For noise of 0.3 (report 000) and any seed, the error matches the manifest."""
    images, _ = read_test_set(name)
    model = load(name, "onnx")
    noise = np.random.default_rng(5).standard_normal(images.shape, dtype=np.float32)

    denoised = model.run("denoiser", np.clip(images + np.float32(0.3) * noise, 0, 1))[0]

    measured = np.square(denoised - images).mean()
    assert measured == pytest.approx(model.manifest.metrics["denoise_mse_0.3"].value, rel=0.02)
    assert measured < limit


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_backends_agree_on_the_test_set(name: str, data: st.DataObject) -> None:
    """Each network's outputs on the two backends differ by at most 1e-4, for any batch."""
    images, _ = read_test_set(name)
    size = data.draw(st.integers(1, 300))
    start = data.draw(st.integers(0, len(images) - size))
    onnx, torchscript = (load(name, backend) for backend in BACKENDS)
    decoders = {decoder: encoder for encoder, decoder in SPACE_NETWORKS.values()}

    for network in onnx.networks:
        batch = images[start : start + size]
        if network == "generator" or network in FLOWS.values():
            rng = np.random.default_rng(start)
            shape = onnx.manifest.networks[network].input.shape
            batch = rng.standard_normal((size, *shape), np.float32)
        elif network in decoders:
            batch = onnx.run(decoders[network], batch)[0]
        outputs, expected = onnx.run(network, batch), torchscript.run(network, batch)
        assert len(outputs) == len(expected)
        for output, other in zip(outputs, expected, strict=True):
            assert np.abs(output - other).max() <= 1e-4, network


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), count=st.integers(1, 40))
@pytest.mark.parametrize("name", NAMES)
def test_samples_agree_on_both_backends(name: str, seed: int, count: int) -> None:
    """The same seed draws the same latents, and images that differ by at most 1/255."""
    models = [load(name, backend) for backend in BACKENDS]
    for source in models[0].samplers:
        first, second = (
            run_alone(
                model,
                operations.sample(model, source, count, np.random.Generator(np.random.PCG64(seed))),
            )
            for model in models
        )
        # The latents of a filtered GAN and of a flow are outputs of networks.
        if models[0].manifest.samplers[source].kind in {"gan-filtered", "flow"}:
            assert np.abs(first.latents - second.latents).max() <= 1e-4
        else:
            assert np.array_equal(first.latents, second.latents)
        assert np.abs(first.images - second.images).max() <= 1 / 255


@pytest.mark.parametrize("name", NAMES)
def test_class_samples_match_their_class(name: str) -> None:
    """The bundle's classifier assigns most samples of a class to that class, by default."""
    model = load(name, "onnx")
    source = str(model.manifest.find_default_source(class_conditional=True))
    accuracies = []
    for label in range(len(model.manifest.classes or ())):
        rng = np.random.Generator(np.random.PCG64(label))
        images = run_alone(model, operations.sample(model, source, 200, rng, label=label)).images
        accuracies.append((model.run("classifier", images)[0].argmax(axis=1) == label).mean())

    assert np.mean(accuracies) > 0.85


@pytest.mark.parametrize("name", NAMES)
def test_the_default_source_does_not_copy(name: str) -> None:
    """The default source has limits on copies of training images, and obeys them."""
    manifest = load(name, "onnx").manifest
    quality = manifest.samplers[str(manifest.default_source)].quality

    assert "near_copies_limit" in quality
    assert not is_copying(quality)


@pytest.mark.parametrize("name", NAMES)
def test_bundles_are_small_and_complete(name: str) -> None:
    """Each bundle contains every network in both formats, in at most 17 MB."""
    manifest = load(name, "onnx").manifest

    assert set(manifest.networks) == {
        "encoder",
        "decoder",
        "denoiser",
        "classifier",
        "vae_encoder",
        "vae_decoder",
        "generator",
        "flow",
        "vae_flow",
        *ANOMALY_MAPS,
    }
    assert all(set(network.formats) == set(BACKENDS) for network in manifest.networks.values())
    assert all(
        graph.parity <= 1e-4
        for network in manifest.networks.values()
        for graph in network.formats.values()
    )
    assert sum(entry.bytes for entry in manifest.files.values()) < MAX_BYTES
