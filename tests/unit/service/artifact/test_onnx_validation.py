"""ONNX graphs with external data or unknown operators are rejected before they are loaded."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service.artifact import GraphFile, NetworkSpec, TensorSpec, onnx_validation
from service.artifact.onnx_validation import validate_graph
from service.errors import ArtifactError
from service.runtimes import open_runtime

ROOT = Path(__file__).parents[4]
SPEC = NetworkSpec(
    input=TensorSpec(name="x", shape=(4,)),
    outputs=(TensorSpec(name="y", shape=(4,)),),
    formats={"onnx": GraphFile(file="sum.onnx", parity=0.0)},
)
SECRET = b"SECRET" + bytes(10)


def make_model(*nodes: onnx.NodeProto, weights: onnx.TensorProto | None = None) -> onnx.ModelProto:
    """Return the model `y = x + w`, or one of other nodes."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")
    ]
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Add", ["x", "w"], ["y"])],
        "sum",
        values[:1],
        values[1:],
        [weights or numpy_helper.from_array(np.ones(4, np.float32), "w")],
    )
    opset = helper.make_opsetid("", 17)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return model


def make_external(location: str, offset: int = 0) -> onnx.TensorProto:
    """Return weights stored in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _sibling(folder: Path, _: Path) -> onnx.TensorProto:
    (folder / "weights.bin").write_bytes(SECRET)
    return make_external("weights.bin")


def _above(_: Path, secret: Path) -> onnx.TensorProto:
    return make_external(f"../{secret.name}")


def _absolute(_: Path, secret: Path) -> onnx.TensorProto:
    return make_external(str(secret))


def _symlink(folder: Path, secret: Path) -> onnx.TensorProto:
    (folder / "weights.bin").symlink_to(secret)
    return make_external("weights.bin")


def _hard_link(folder: Path, secret: Path) -> onnx.TensorProto:
    os.link(secret, folder / "weights.bin")
    return make_external("weights.bin")


def _past_the_end(folder: Path, _: Path) -> onnx.TensorProto:
    (folder / "weights.bin").write_bytes(SECRET)
    return make_external("weights.bin", 1 << 40)


@pytest.mark.parametrize(
    "prepare", [_sibling, _above, _absolute, _symlink, _hard_link, _past_the_end]
)
def test_external_data_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path, Path], TensorProto]
) -> None:
    """External data is rejected for every kind of path, before ONNX Runtime reads the graph."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    folder = tmp_path / "bundle"
    folder.mkdir()
    monkeypatch.chdir(folder)
    graph = make_model(weights=prepare(folder, secret)).SerializeToString()

    with pytest.raises(ArtifactError, match="external data"):
        open_runtime("onnx", 1).load(graph, SPEC)


def _in_a_constant() -> onnx.ModelProto:
    return make_model(
        helper.make_node("Constant", [], ["c"], value=make_external("w")),
        helper.make_node("Add", ["x", "c"], ["y"]),
    )


def _in_a_list() -> onnx.ModelProto:
    node = helper.make_node("Identity", ["x"], ["y"])
    node.attribute.append(helper.make_attribute("all", [make_external("w")]))
    return make_model(node)


def _in_a_sparse_tensor() -> onnx.ModelProto:
    model = make_model()
    model.graph.sparse_initializer.add(values=make_external("w"), dims=[4])
    return model


def _in_sparse_indices() -> onnx.ModelProto:
    model = make_model()
    model.graph.sparse_initializer.add(indices=make_external("w"), dims=[4])
    return model


def _without_a_place() -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.external_data.add(key="location", value="w")
    return make_model(weights=tensor)


@pytest.mark.parametrize(
    "make", [_in_a_constant, _in_a_list, _in_a_sparse_tensor, _in_sparse_indices, _without_a_place]
)
def test_external_data_is_found_everywhere(make: Callable[[], onnx.ModelProto]) -> None:
    """External data is found in every field that can hold a tensor."""
    with pytest.raises(ArtifactError, match="external data"):
        validate_graph(make().SerializeToString())


def _loop() -> onnx.ModelProto:
    return make_model(helper.make_node("Loop", ["n", "c", "x"], ["y"], body=make_model().graph))


def _branch() -> onnx.ModelProto:
    inner = make_model().graph
    return make_model(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))


def _scan() -> onnx.ModelProto:
    node = helper.make_node("Scan", ["x"], ["y"], body=make_model().graph, num_scan_inputs=1)
    return make_model(node)


def _hidden_graph() -> onnx.ModelProto:
    return make_model(helper.make_node("Identity", ["x"], ["y"], body=make_model().graph))


def _foreign() -> onnx.ModelProto:
    return make_model(helper.make_node("Add", ["x", "w"], ["y"], domain="com.example"))


def _unknown() -> onnx.ModelProto:
    return make_model(helper.make_node("ReadFile", ["x"], ["y"]))


def _function() -> onnx.ModelProto:
    model = make_model()
    add = helper.make_node("Add", ["a", "b"], ["c"])
    opset = helper.make_opsetid("", 17)
    model.functions.append(helper.make_function("own", "Add", ["a", "b"], ["c"], [add], [opset]))
    return model


def _training() -> onnx.ModelProto:
    model = make_model()
    model.training_info.add()
    return model


@pytest.mark.parametrize(
    "make", [_loop, _branch, _scan, _hidden_graph, _foreign, _unknown, _function, _training]
)
def test_unknown_operators_are_rejected(make: Callable[[], onnx.ModelProto]) -> None:
    """Control flow, nested graphs, functions and operators of other libraries are rejected."""
    with pytest.raises(ArtifactError, match="which is not allowed"):
        validate_graph(make().SerializeToString())


def test_the_rejected_operator_and_its_node_are_named() -> None:
    """A person finds the node in the graph."""
    node = helper.make_node("ReadFile", ["x"], ["y"], "layers/3/read")

    with pytest.raises(ArtifactError, match=r"operator 'ReadFile' \(node 'layers/3/read'\)"):
        validate_graph(make_model(node).SerializeToString())


def test_valid_graphs_pass() -> None:
    """A valid graph and all shipped graphs pass."""
    shipped = [file.read_bytes() for file in (ROOT / "models_store").rglob("*.onnx")]

    assert shipped
    for graph in (make_model().SerializeToString(), *shipped):
        validate_graph(graph)


def test_field_limit_bounds_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of very many small fields is rejected at the limit, in under a second."""
    monkeypatch.setattr(onnx_validation, "MAX_FIELDS", 10_000)
    start = time.perf_counter()

    with pytest.raises(ArtifactError, match="more than 10000 fields"):
        validate_graph(b"\x08\x01" * 10_000_000)

    assert time.perf_counter() - start < 1


@given(st.binary(max_size=400))
def test_random_bytes_pass_or_are_rejected(content: bytes) -> None:
    """Random bytes pass or raise ArtifactError, and no other exception."""
    with contextlib.suppress(ArtifactError):
        validate_graph(content)


GRAPH = _in_a_constant().SerializeToString()


@given(st.integers(0, len(GRAPH) - 1), st.binary(min_size=1, max_size=4))
def test_mutated_graph_hides_no_external_data(place: int, change: bytes) -> None:
    """A mutated graph passes only if the `onnx` library sees all its tensors inside the file."""
    changed = GRAPH[:place] + change + GRAPH[place + len(change) :]
    try:
        validate_graph(changed)
    except ArtifactError:
        return
    model = onnx.ModelProto()
    try:
        model.ParseFromString(changed)
    except Exception:  # noqa: BLE001 - protobuf's error: no library can load it
        return
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    tensors = [*model.graph.initializer, *(attribute.t for attribute in attributes)]
    assert [t for t in tensors if t.external_data or t.data_location] == []
