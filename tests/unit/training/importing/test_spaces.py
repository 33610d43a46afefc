"""An encoder and a decoder of another framework become a latent space."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, helper

from tests.support.foreign_models import (
    SIZE,
    TorchDecoder,
    TorchEncoder,
    fit_weights,
    load_pixels,
    save_decoder,
    save_encoder,
)
from tests.unit.training.importing.conftest import Read
from training.importing.forms.formats import BYTES, SYMMETRIC, UNIT, PixelScale


def run(model: ModelProto, inputs: np.ndarray) -> list[np.ndarray]:
    """Run a wrapped graph."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: inputs})
    return outputs


def load_images(count: int = 5) -> np.ndarray:
    """Return digits (N, 1, 8, 8) in [0, 1]."""
    return (load_pixels()[0][:count] / 255).astype(np.float32)


def project(images: np.ndarray) -> np.ndarray:
    """Return the codes that every encoder of the tests computes."""
    mean, components = fit_weights()
    codes: np.ndarray = (images.reshape(len(images), -1) - mean) @ components.T
    return codes


@pytest.mark.parametrize("scale", [UNIT, SYMMETRIC, BYTES], ids=lambda scale: scale.name)
@pytest.mark.parametrize(
    "shape",
    [("n", 1, 8, 8), ("n", 8, 8, 1), ("n", 8, 8), ("n", 64), (1, 1, 8, 8)],
    ids=["nchw", "nhwc", "nhw", "flat", "fixed"],
)
def test_layout_and_pixels_are_found(
    read: Read, tmp_path: Path, shape: tuple[int | str, ...], scale: PixelScale
) -> None:
    """The wrapped graphs take and return NCHW in [0, 1], and any batch."""
    low, high = (float(scale.to_network(np.float32([[[[v]]]])).item()) for v in (0, 1))
    save_encoder(tmp_path / "encoder.onnx", shape=shape, low=low, high=high)
    save_decoder(tmp_path / "decoder.onnx", shape=shape, low=low, high=high)

    imported, lines = read()

    images = load_images()
    (codes,) = run(imported.networks["encoder"].model, images)
    (decoded,) = run(imported.networks["decoder"].model, codes)
    np.testing.assert_allclose(codes, project(images), atol=1e-4)
    assert decoded.shape == images.shape
    assert 0 < np.square(decoded - images).mean() < 0.04
    assert any(f"pixels {scale.name}: mean squared error" in line for line in lines)
    assert imported.networks["encoder"].parity < 1e-4
    assert imported.networks["encoder"].max_batch is None


def test_spatial_code_is_flattened(read: Read, tmp_path: Path) -> None:
    """A code of 2 x 3 x 1 becomes a vector, and its shape is kept."""
    save_encoder(tmp_path / "encoder.onnx", code=(2, 3, 1))
    save_decoder(tmp_path / "decoder.onnx", code=(2, 3, 1))

    imported, _ = read()

    assert run(imported.networks["encoder"].model, load_images())[0].shape == (5, SIZE)
    assert imported.networks["encoder"].latent_shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("nodes", "kind"),
    [
        ([helper.make_node("Log", ["variances"], ["log_var"])], "logvar"),
        ([helper.make_node("Sqrt", ["variances"], ["std"])], "std"),
        ([helper.make_node("Identity", ["variances"], ["z_variance"])], "variance"),
    ],
    ids=["logvar", "std", "variance"],
)
def test_variance_is_found_by_name(
    read: Read, tmp_path: Path, nodes: list[object], kind: str
) -> None:
    """The second output becomes log-variances, whatever it measures."""
    variances = [
        helper.make_node("Mul", ["code", "zero"], ["none"]),
        helper.make_node("Add", ["none", "quarter"], ["variances"]),
        *nodes,
    ]
    name = variances[-1].output[0]
    save_encoder(
        tmp_path / "encoder.onnx",
        extra=variances,
        outputs={name: ["n", SIZE], "code": ["n", SIZE]},
        weights={"zero": np.zeros(1, np.float32), "quarter": np.full(SIZE, 0.25, np.float32)},
    )
    save_decoder(tmp_path / "decoder.onnx")

    imported, lines = read(
        encoder=None,
        decoder=None,
        vae_encoder=tmp_path / "encoder.onnx",
        vae_decoder=tmp_path / "decoder.onnx",
    )

    images = load_images()
    means, log_variances = run(imported.networks["vae_encoder"].model, images)
    np.testing.assert_allclose(means, project(images), atol=1e-4)
    np.testing.assert_allclose(log_variances, np.log(0.25), atol=1e-5)
    assert any(f"mean 'code', {kind} {name!r}" in line for line in lines)
    assert imported.networks["vae_decoder"].stem == "decoder"


@pytest.mark.parametrize(("parts", "factors"), [("code other", (1, 0.5)), ("other code", (0.5, 1))])
def test_moments_in_one_output_are_halved(
    read: Read, tmp_path: Path, parts: str, factors: tuple[float, float]
) -> None:
    """The first half along the channels is the mean, even if the second reconstructs better."""
    both = [
        helper.make_node("Mul", ["code", "half"], ["other"]),
        helper.make_node("Concat", parts.split(), ["moments"], axis=1),
    ]
    save_encoder(
        tmp_path / "encoder.onnx",
        extra=both,
        outputs={"moments": ["n", 2 * SIZE]},
        weights={"half": np.full(1, 0.5, np.float32)},
    )
    save_decoder(tmp_path / "decoder.onnx")

    imported, lines = read(
        encoder=None,
        decoder=None,
        vae_encoder=tmp_path / "encoder.onnx",
        vae_decoder=tmp_path / "decoder.onnx",
    )

    images = load_images()
    means, log_variances = run(imported.networks["vae_encoder"].model, images)
    np.testing.assert_allclose(factors[1] * means, factors[0] * log_variances, rtol=1e-4, atol=1e-4)
    assert any("first half, logvar" in line for line in lines)


@pytest.mark.parametrize("suffix", ["pt", "pt2"])
def test_files_of_pytorch_are_converted(read: Read, tmp_path: Path, suffix: str) -> None:
    """TorchScript and torch.export files become ONNX; TorchScript stays too."""
    encoder, decoder = TorchEncoder().eval(), TorchDecoder().eval()
    images = torch.from_numpy(load_images())
    for name, module, example in (
        ("encoder", encoder, images),
        ("decoder", decoder, encoder(images).detach()),
    ):
        path = tmp_path / f"{name}.{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == "pt":
                torch.jit.save(torch.jit.trace(module, example), path)
            else:
                dynamic = ({0: torch.export.Dim("batch")},)
                program = torch.export.export(module, (example,), dynamic_shapes=dynamic)
                torch.export.save(program, path)

    imported, _ = read(
        encoder=tmp_path / f"encoder.{suffix}", decoder=tmp_path / f"decoder.{suffix}"
    )

    found = imported.networks["encoder"]
    np.testing.assert_allclose(
        run(found.model, images.numpy())[0], project(images.numpy()), atol=1e-4
    )
    assert (found.torchscript is not None) == (suffix == "pt")


def test_whole_autoencoder_is_cut_at_its_code(read: Read, tmp_path: Path) -> None:
    """One graph from images to images gives an encoder and a decoder."""
    _, components = fit_weights()
    decode = [
        helper.make_node("MatMul", ["code", "back"], ["wide"]),
        helper.make_node("Add", ["wide", "mean"], ["sum"]),
        helper.make_node("Reshape", ["sum", "image"], ["reconstruction"]),
    ]
    save_encoder(
        tmp_path / "whole.onnx",
        extra=decode,
        outputs={"reconstruction": ["n", 1, 8, 8]},
        weights={"back": components, "image": np.array([-1, 1, 8, 8], np.int64)},
    )

    imported, _ = read(encoder=None, decoder=None, autoencoder=tmp_path / "whole.onnx")

    images = load_images()
    (codes,) = run(imported.networks["encoder"].model, images)
    np.testing.assert_allclose(codes, project(images), atol=1e-4)
    assert run(imported.networks["decoder"].model, codes)[0].shape == images.shape


def test_graph_of_single_images_stays_so(read: Read, tmp_path: Path) -> None:
    """A graph whose batch cannot be opened is run image by image."""
    twice = [
        helper.make_node("Concat", ["code", "code"], ["long"], axis=0),
        helper.make_node("Gather", ["long", "first"], ["result"], axis=0),
    ]
    save_encoder(
        tmp_path / "encoder.onnx",
        shape=(1, 1, 8, 8),
        extra=twice,
        outputs={"result": [1, SIZE]},
        weights={"first": np.array([0], np.int64)},
    )

    imported, _ = read()

    assert imported.networks["encoder"].max_batch == 1
    assert imported.networks["decoder"].max_batch is None
