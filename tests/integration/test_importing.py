"""A model of another framework is imported and served with every operation."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import helper

from service.app import create_app
from service.settings import Settings
from tests.support.foreign_models import (
    PIXELS,
    SIZE,
    fit_weights,
    load_pixels,
    save_decoder,
    save_encoder,
    save_graph,
    save_images,
)
from tests.support.servers import run_server
from training.commands.import_model import import_model

LABELS = tuple(f"digit {index}" for index in range(10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a user, and the store that `latentd import` filled."""
    home = tmp_path_factory.mktemp("foreign")
    save_images(home / "images.npz")
    shape = ("n", 8, 8, 1)
    save_encoder(home / "encoder.onnx", shape=shape, low=-1, high=1, code=(2, 3, 1))
    save_decoder(home / "decoder.onnx", shape=shape, low=-1, high=1, code=(2, 3, 1))
    save_encoder(
        home / "vae_encoder.onnx",
        extra=[
            helper.make_node("Mul", ["code", "zero"], ["none"]),
            helper.make_node("Sub", ["none", "one"], ["log_var"]),
        ],
        outputs={"log_var": ["n", SIZE], "code": ["n", SIZE]},
        weights={"zero": np.zeros(1, np.float32), "one": np.ones(1, np.float32)},
    )
    save_decoder(home / "vae_decoder.onnx")
    _save_classifier(home / "classifier.onnx")
    _save_denoiser(home / "denoiser.onnx")
    (home / "labels.txt").write_text("\n".join(LABELS))
    names = ("encoder", "decoder", "vae_encoder", "vae_decoder", "classifier", "denoiser")
    flags = [w for n in names for w in (f"--{n.replace('_', '-')}", str(home / f"{n}.onnx"))]
    places = ["--data", str(home / "images.npz"), "--store", str(home / "store")]
    status = import_model(["digits-pca", *flags, "--classes", str(home / "labels.txt"), *places])
    assert status == 0
    return home


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    """A client of a service with the imported model."""
    settings = Settings(models_store=folder / "store", threads=1)
    with (
        run_server(create_app(settings)) as base,
        httpx.Client(base_url=f"{base}/v1", timeout=60) as connected,
    ):
        yield connected


def test_the_model_has_every_operation_and_source(client: httpx.Client) -> None:
    """Sample sources, maps, metrics and the shape of the code are described."""
    model = client.get("/models/digits-pca").json()

    assert set(model["operations"]) >= {
        *("encode", "decode", "reconstruct", "denoise", "classify", "sample", "interpolate")
    }
    assert {source["name"] for source in model["sources"]} >= {
        *("kde", "class-kde", "pca-kde", "gmm", "centroid", "prior", "vae-kde", "vae-gmm")
    }
    assert model["spaces"]["autoencoder"] == {"latent_size": SIZE, "shape": [2, 3, 1]}
    assert model["maps"] == ["autoencoder", "vae"]
    assert model["classes"] == list(LABELS)
    assert {"reconstruction_mse", "vae_mse", "classifier_accuracy"} <= model["metrics"].keys()
    imported = model["provenance"]["recipe"]["imported"]
    assert imported["encoder"]["file"] == "encoder.onnx"
    assert len(imported["encoder"]["sha256"]) == 64


def test_results_equal_those_of_the_original(client: httpx.Client) -> None:
    """Codes and reconstructions are the PCA's."""
    mean, components = fit_weights()
    images = load_pixels()[0][:4]
    rows = images.reshape(4, -1) / 255

    response = client.post("/encode", json={"images": (images / 255).tolist()})
    latents = np.array(response.json()["latents"])
    rebuilt = client.post("/decode", json={"latents": latents.tolist(), "encoding": "array"})

    expected = (rows - mean) @ components.T
    np.testing.assert_allclose(latents, expected, atol=1e-4)
    np.testing.assert_allclose(
        np.array(rebuilt.json()["images"]).reshape(4, -1),
        (expected @ components + mean).clip(0, 1),
        atol=1e-4,
    )


@pytest.mark.parametrize("operation", ["reconstruct", "denoise", "classify"])
@pytest.mark.parametrize("space", ["autoencoder", "vae"])
def test_operations_on_images(client: httpx.Client, operation: str, space: str) -> None:
    """Every operation on images responds."""
    images = (load_pixels()[0][:2] / 255).tolist()
    parameters = {"space": space} if operation == "reconstruct" else {}

    response = client.post(f"/{operation}", params=parameters, json={"images": images})

    assert response.status_code == 200, response.text


@pytest.mark.parametrize("source", ["kde", "class-kde", "gmm", "prior", "vae-kde"])
def test_samples(client: httpx.Client, source: str) -> None:
    """Every source draws images."""
    response = client.post("/sample", params={"source": source, "count": 3, "seed": 1})

    assert response.status_code == 200, response.text
    assert len(response.json()["images"]) == 3


def test_class_density_shares_the_latents(folder: Path) -> None:
    """The latents of `kde` are not stored again for `class-kde`."""
    bundle = folder / "store" / "digits-pca" / "1"
    sizes = {name: (bundle / f"{name}.safetensors").stat().st_size for name in ("kde", "class_kde")}

    assert sizes["class_kde"] < sizes["kde"] / 2


def test_nothing_is_published_after_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid import has the exit status 1 and leaves the store as it was."""
    before = sorted(path.name for path in (folder / "store").iterdir())
    encoder, decoder = str(folder / "encoder.onnx"), str(folder / "missing.onnx")
    places = ["--data", str(folder / "images.npz"), "--store", str(folder / "store")]

    status = import_model(["other", "--encoder", encoder, "--decoder", decoder, *places])

    assert status == 1
    assert "missing.onnx: cannot be read" in capsys.readouterr().err
    assert sorted(path.name for path in (folder / "store").iterdir()) == before


def _save_classifier(path: Path) -> None:
    """Write the nearest centroid as logits."""
    pixels, labels = load_pixels()
    rows = pixels.reshape(-1, PIXELS) / 255
    centroids = np.stack([rows[labels == label].mean(axis=0) for label in range(10)])
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    weights = {
        "flat": np.array([-1, PIXELS], np.int64),
        "weights": centroids.T.astype(np.float32) * 2,
        "bias": -np.square(centroids).sum(axis=1).astype(np.float32),
    }
    save_graph(path, nodes, ["n", 1, 8, 8], {"logits": ["n", 10]}, weights)


def _save_denoiser(path: Path) -> None:
    """Write a network that returns its input."""
    nodes = [helper.make_node("Identity", ["x"], ["same"])]
    save_graph(path, nodes, ["n", 1, 8, 8], {"same": ["n", 1, 8, 8]})
