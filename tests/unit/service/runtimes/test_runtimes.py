"""The backends' borders: what they import, what they need, what they refuse."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from service.artifact import GraphFile, NetworkSpec, TensorSpec
from service.errors import ArtifactError
from service.runtimes import open_runtime

SPEC = NetworkSpec(
    input=TensorSpec(name="images", shape=(1, 2, 2)),
    outputs=(TensorSpec(name="same", shape=(1, 2, 2)),),
    formats={"onnx": GraphFile(file="same.onnx", parity=0.0)},
)
SERVE_ONNX = """
import json, sys
from pathlib import Path
import numpy as np
import service.__main__, service.app
from service.artifact import NetworkSpec
from service.runtimes import open_runtime
spec = NetworkSpec.model_validate_json(sys.argv[2])
network = open_runtime("onnx", 1).load(Path(sys.argv[1]).read_bytes(), spec)
assert network.run(np.ones((3, 1, 2, 2), np.float32))[0].sum() == 12
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
OPEN_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from service.runtimes import open_runtime
from service.errors import MissingExtraError
try:
    open_runtime("torchscript", 1)
except MissingExtraError as error:
    print(error)
"""


def run_python(script: str, *arguments: str) -> str:
    """Return what a script prints in a new interpreter."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_graph(name: str = "images", size: int = 2, kind: int = TensorProto.FLOAT) -> bytes:
    """Return an ONNX graph that gives back its input."""
    shape = ["n", 1, size, size]
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], ["same"])],
        "same",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info("same", kind, shape)],
    )
    opset = helper.make_opsetid("", 17)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())


def test_serving_onnx_needs_nothing_heavy(tmp_path: Path) -> None:
    """The whole service with a running ONNX graph never imports what training needs."""
    graph = tmp_path / "same.onnx"
    graph.write_bytes(make_graph())

    loaded = set(json.loads(run_python(SERVE_ONNX, str(graph), SPEC.model_dump_json())))

    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "torchvision", "scipy", "sklearn", "onnx", "pandas", "training"}


def test_a_missing_extra_is_named() -> None:
    """Without torch the TorchScript backend says what to install."""
    told = run_python(OPEN_WITHOUT_TORCH)

    assert told.strip() == (
        "the torchscript backend needs torch: pip install 'latentd[torchscript]'"
    )


@pytest.mark.parametrize(
    "graph",
    [
        b"",
        b"encoder",
        make_graph()[:-10],
        make_graph("pictures"),
        make_graph(size=3),
        make_graph(kind=TensorProto.DOUBLE),
    ],
    ids=["empty", "text", "truncated", "another name", "another shape", "another type"],
)
def test_onnxruntime_refuses_other_graphs(graph: bytes) -> None:
    """What is no graph, or not the one that the manifest describes, is an ArtifactError."""
    with pytest.raises(ArtifactError):
        open_runtime("onnx", 1).load(graph, SPEC)
