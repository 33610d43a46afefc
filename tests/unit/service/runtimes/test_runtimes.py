"""Backends: declarations, imports, requirements and rejected graphs."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import get_args

import onnx
import pytest
from onnx import TensorProto, helper

from service.artifact import GraphFile, NetworkSpec, TensorSpec
from service.artifact.specs import GraphFormat
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
    """Return the output of a script in a new interpreter."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_graph(name: str = "images", size: int = 2, kind: int = TensorProto.FLOAT) -> bytes:
    """Return an ONNX graph of the identity."""
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


@pytest.mark.parametrize("backend", get_args(GraphFormat))
def test_every_form_has_a_backend(backend: GraphFormat) -> None:
    """Each stored form has a module with a runtime that declares its form and platform."""
    runtime = open_runtime(backend, 1)

    assert runtime.format == backend
    assert runtime.platform in {"onnxruntime_onnx", "pytorch_libtorch"}


def test_a_new_backend_is_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `service.runtimes.<form>` with a `RUNTIME` class is found by its name."""
    module = ModuleType("service.runtimes.pt2")
    vars(module)["RUNTIME"] = lambda threads, device, run_seconds: SimpleNamespace(
        format="pt2", threads=threads, device=device, run_seconds=run_seconds
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)

    runtime = open_runtime("pt2", 3)  # type: ignore[arg-type]

    assert vars(runtime) == {"format": "pt2", "threads": 3, "device": "cpu", "run_seconds": 0.0}


def test_serving_onnx_imports_no_training_libraries(tmp_path: Path) -> None:
    """The service with a loaded ONNX graph imports no library of training."""
    graph = tmp_path / "same.onnx"
    graph.write_bytes(make_graph())

    loaded = set(json.loads(run_python(SERVE_ONNX, str(graph), SPEC.model_dump_json())))

    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "torchvision", "scipy", "sklearn", "onnx", "pandas", "training"}


def test_missing_extra_is_named() -> None:
    """Without torch, the error of the TorchScript backend names the extra to install."""
    error = run_python(OPEN_WITHOUT_TORCH)

    assert error.strip() == (
        "the torchscript backend needs torch: pip install 'latentd[torchscript]'"
    )


@pytest.mark.parametrize(
    "graph",
    [
        b"",
        b"encoder",
        make_graph()[:-10],
        make_graph("pixels"),
        make_graph(size=3),
        make_graph(kind=TensorProto.DOUBLE),
    ],
    ids=["empty", "text", "truncated", "another name", "another shape", "another type"],
)
def test_onnx_rejects_invalid_graphs(graph: bytes) -> None:
    """Invalid graphs and graphs that differ from the manifest raise ArtifactError."""
    with pytest.raises(ArtifactError):
        open_runtime("onnx", 1).load(graph, SPEC)
