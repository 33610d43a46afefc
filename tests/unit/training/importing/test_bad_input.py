"""Networks and images that cannot be imported have clear errors, and nothing is published."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.support.foreign_models import (
    SIZE,
    TorchEncoder,
    load_pixels,
    save_decoder,
    save_encoder,
    save_graph,
    save_images,
)
from tests.unit.training.importing.conftest import Read
from training.errors import DataError, ModelImportError, TrainingError
from training.importing.forms.formats import parse_scale
from training.importing.graphs.onnx_graph import Graph

FLOATS = TensorProto.FLOAT


def _unfitting(folder: Path) -> None:
    save_encoder(folder / "encoder.onnx", code=(1, SIZE))
    nodes = [helper.make_node("Identity", ["x"], ["images"])]
    save_graph(folder / "decoder.onnx", nodes, ["n", 9], {"images": ["n", 9]})


def _custom_operator(folder: Path) -> None:
    save_encoder(
        folder / "encoder.onnx",
        extra=[helper.make_node("FusedGelu", ["code"], ["y"], "mine", domain="com.microsoft")],
        outputs={"code": ["n", SIZE], "y": ["n", SIZE]},
    )


def _loop(folder: Path) -> None:
    inner = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Identity", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", FLOATS, ["n", SIZE]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOATS, ["n", SIZE]),
        ],
    )
    save_encoder(
        folder / "encoder.onnx",
        extra=[helper.make_node("Loop", ["two", "", "code"], ["y"], "repeat", body=inner)],
        outputs={"y": ["n", SIZE]},
        weights={"two": np.array(2, np.int64)},
    )


def _random(folder: Path) -> None:
    save_encoder(
        folder / "encoder.onnx",
        extra=[
            helper.make_node("RandomNormalLike", ["code"], ["noise"]),
            helper.make_node("Add", ["code", "noise"], ["z"]),
        ],
        outputs={"z": ["n", SIZE]},
    )


def _missing_weights(folder: Path) -> None:
    save_encoder(folder / "encoder.onnx")
    model = onnx.load(folder / "encoder.onnx")
    onnx.save(
        model, folder / "encoder.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    (folder / "w").unlink()


def _nan(folder: Path) -> None:
    save_encoder(
        folder / "encoder.onnx",
        extra=[helper.make_node("Sqrt", ["code"], ["root"])],
        outputs={"root": ["n", SIZE]},
    )


def _constant(folder: Path) -> None:
    save_encoder(
        folder / "encoder.onnx",
        extra=[helper.make_node("Mul", ["code", "zero"], ["same"])],
        outputs={"same": ["n", SIZE]},
        weights={"zero": np.zeros(1, np.float32)},
    )


def _few(folder: Path) -> None:
    save_images(folder / "images.npz", 20)


def _other_shape(folder: Path) -> None:
    np.save(folder / "images.npy", np.zeros((100, 9, 9), np.uint8))
    (folder / "images.npy").rename(folder / "images.npz")


def _normalised(folder: Path) -> None:
    np.savez(folder / "images.npz", images=load_pixels()[0][:100] / np.float32(127.5) - 1)


def _not_images(folder: Path) -> None:
    np.savez(folder / "images.npz", images=np.zeros((100, 5, 8, 8), np.uint8))


def _wrong_weights(folder: Path) -> None:
    save_decoder(folder / "decoder.onnx", low=3, high=4)
    save_encoder(folder / "encoder.onnx", low=5, high=5.5)


def _batch_dependent(folder: Path) -> None:
    save_encoder(
        folder / "encoder.onnx",
        extra=[
            helper.make_node("ReduceMean", ["code"], ["mean0"], axes=[0]),
            helper.make_node("Sub", ["code", "mean0"], ["normal"]),
        ],
        outputs={"normal": ["n", SIZE]},
    )


def _damaged(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes(b"\x08\x07not a graph")


def _two_inputs(folder: Path) -> None:
    save_encoder(folder / "encoder.onnx")
    model = onnx.load(folder / "encoder.onnx")
    model.graph.input.append(helper.make_tensor_value_info("label", FLOATS, ["n", 10]))
    onnx.save(model, folder / "encoder.onnx")


def _one_channel_or_eight(folder: Path) -> None:
    save_encoder(folder / "encoder.onnx", shape=("n", 3, 8, 3))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_unfitting, "The encoder and the decoder do not fit: encoder.onnx returns code"),
        (_custom_operator, "ONNX Runtime rejects it"),
        (_loop, r"the operator Loop \(node 'repeat'\) is not supported: export it by tracing"),
        (_random, r"returns a random code: export its mean.*model.eval"),
        (_missing_weights, "the file w is missing|Weights in separate files must be beside it"),
        (_nan, "NaN or infinity for real images"),
        (_constant, "No pixel range reconstructs|the code is the same for all"),
        (_few, "Expected at least 50 images.*got 20"),
        (_other_shape, r"images of 1x9x9 .* the network takes 1x8x8; resize the images"),
        (_normalised, "expected pixels from 0 to 1 or from 0 to 255, got -1 to 1"),
        (_not_images, r"expected images of shape .* got \(100, 5, 8, 8\)"),
        (_wrong_weights, "No pixel range reconstructs the images: .* Set --pixels"),
        (_batch_dependent, r"depends on the other images of the batch.*model.eval"),
        (_damaged, "cannot be read as ONNX"),
        (_two_inputs, r"expected one input, got 2 \(x, label\)"),
        (_one_channel_or_eight, "set --layout to nchw or nhwc"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_has_a_clear_error(
    read: Read, tmp_path: Path, prepare: Callable[[Path], None], message: str
) -> None:
    """The error is one line that names the problem and the remedy."""
    prepare(tmp_path)

    with pytest.raises(TrainingError) as caught:
        read()

    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pkl", "skl2onnx"),
        ("model.keras", r"model\.export\('encoder\.onnx', format='onnx'\)"),
        ("model.txt", r"expected ONNX \(\.onnx\), TorchScript \(\.pt\) or torch\.export"),
    ],
)
def test_other_formats_name_their_export(
    read: Read, tmp_path: Path, name: str, message: str
) -> None:
    """A file of another framework is not loaded; the error says how to export it."""
    (tmp_path / name).write_bytes(b"content")

    with pytest.raises(ModelImportError, match=message):
        read(encoder=tmp_path / name)


def test_pickles_of_pytorch_are_not_loaded(read: Read, tmp_path: Path) -> None:
    """A saved module or state is a pickle, which could run code."""
    torch.save(TorchEncoder().state_dict(), tmp_path / "encoder.pt")

    with pytest.raises(ModelImportError, match=r"a pickle of PyTorch.*export_torch"):
        read(encoder=tmp_path / "encoder.pt")


def test_unsupported_operator_is_named(read: Read, tmp_path: Path) -> None:
    """An operator that ONNX Runtime knows and the service rejects is named with its node."""
    nodes = [helper.make_node("SequenceConstruct", ["code"], ["list"], "pack")]
    nodes.append(helper.make_node("ConcatFromSequence", ["list"], ["y"], axis=1))
    save_encoder(tmp_path / "encoder.onnx", extra=nodes, outputs={"y": ["n", SIZE]})

    with pytest.raises(ModelImportError, match=r"operator SequenceConstruct \(node 'pack'\)"):
        read()


def test_half_a_pair_is_rejected(read: Read) -> None:
    """An encoder alone cannot be served."""
    with pytest.raises(ModelImportError, match="Expected both --encoder and --decoder"):
        read(decoder=None)


@pytest.mark.parametrize("text", ["0..2", "a,b", "0.5", "0.5,0", "1,2,3"])
def test_invalid_pixels_are_rejected(text: str) -> None:
    """The error lists the accepted forms."""
    with pytest.raises(ModelImportError, match=r"expected 0\.\.1, -1\.\.1, 0\.\.255, MEAN,STD"):
        parse_scale(text)


def test_missing_images_are_rejected(read: Read) -> None:
    """A folder that does not exist is named."""
    with pytest.raises(DataError, match="nowhere"):
        read(data="nowhere")


def test_graph_rejects_an_input_of_another_shape(tmp_path: Path) -> None:
    """ONNX Runtime's own errors name the file."""
    save_encoder(tmp_path / "encoder.onnx")
    graph = Graph("encoder.onnx", onnx.load(tmp_path / "encoder.onnx"))

    with pytest.raises(ModelImportError, match=r"encoder\.onnx: it fails on an input of shape"):
        graph.run(np.zeros((2, 5), np.float32))
