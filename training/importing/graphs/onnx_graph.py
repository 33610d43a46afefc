"""ONNX graphs to import: reading, checks, and runs in ONNX Runtime.

Weights in separate files are moved into the graph, functions are inlined, and nodes that no output
needs are removed. The result has only the operators that the service accepts.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, inliner

from service.artifact.onnx_validation import DOMAINS, OPERATORS
from training.errors import ModelImportError
from training.importing.forms.formats import Array

Dimensions: TypeAlias = tuple[int | None, ...]
"""A tensor's shape with the batch dimension; None for a dimension that the graph leaves open."""

MIN_OPSET = 8  # the first with broadcasting Max and Min
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_RANDOM = frozenset({"Bernoulli", "Multinomial"})
_ADVICE = {
    "control flow": "export it by tracing, without Python loops and branches over tensors",
    "random numbers": "export the mean instead of a random latent, in evaluation mode",
    "other": "replace it in the network, or export without custom or fused operators",
}
_LOG_FATAL = 4


@dataclass(frozen=True)
class Graph:
    """An ONNX model with one input, and a session that runs it."""

    name: str
    """The file's name, for messages."""
    model: ModelProto

    @cached_property
    def session(self) -> Any:  # noqa: ANN401 - onnxruntime has no types
        """The session in ONNX Runtime."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_FATAL
        try:
            return onnxruntime.InferenceSession(
                self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelImportError(
                f"{self.name}: ONNX Runtime rejects it: {_line(error)}"
            ) from error

    @property
    def input(self) -> Any:  # noqa: ANN401 - the generated classes of onnx are untyped
        """The graph's input."""
        return list_inputs(self.model)[0]

    @property
    def shape(self) -> Dimensions:
        """The input's shape."""
        return read_shape(self.input)

    @property
    def batch(self) -> int | None:
        """The batch size that the graph fixes; None for any."""
        return self.shape[0]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return [output.name for output in self.model.graph.output]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The input's dtype."""
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.input.type.tensor_type.elem_type))

    def run(self, batch: Array) -> list[Array]:
        """Run the graph on a batch of any size, in runs of its own batch size if that is fixed.

        Args:
            batch: (N, ...) in the network's own form.

        Returns:
            One array for each output.

        Raises:
            ModelImportError: ONNX Runtime fails.
        """
        tensor = np.ascontiguousarray(_round_integers(batch, self.dtype))
        size = self.batch or len(tensor)
        parts = [
            self._run_once(tensor[start : start + size]) for start in range(0, len(tensor), size)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _run_once(self, batch: Array) -> list[Array]:
        try:
            outputs: list[Array] = self.session.run(None, {self.input.name: batch})
        except Exception as error:
            raise ModelImportError(
                f"{self.name}: it fails on an input of shape {batch.shape}: {_line(error)}"
            ) from error
        return outputs


def read_graph(path: Path) -> Graph:
    """Read an ONNX file, and the files of its external data.

    Raises:
        ModelImportError: the file cannot be read, or the service would not accept the graph.
    """
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        missing = Path(error.filename or path).name
        raise ModelImportError(f"{path}: the file {missing} is missing") from error
    except Exception as error:  # protobuf's and onnx's errors share no base class
        raise ModelImportError(
            f"{path}: cannot be read as ONNX: {_line(error)}. Weights in separate files must be "
            "beside it; torch.onnx.export(..., external_data=False) writes one file"
        ) from error
    return make_graph(path.name, model)


def make_graph(name: str, model: ModelProto) -> Graph:
    """Return a graph that the service accepts.

    Raises:
        ModelImportError: it has other inputs or operators.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    _check_opset(name, model)
    inputs = list_inputs(model)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelImportError(f"{name}: expected one input, got {len(inputs)} ({names})")
    return Graph(name, prune(model, [output.name for output in model.graph.output]))


def check_operators(name: str, model: ModelProto) -> None:
    """Check a graph's operators against those that the service accepts.

    Raises:
        ModelImportError: another operator; the text names it, its node and the remedy.
    """
    for node in model.graph.node:
        nested = [attribute for attribute in node.attribute if attribute.g.node or attribute.graphs]
        if node.op_type in OPERATORS and node.domain in DOMAINS and not nested:
            continue
        kind = "other"
        if node.op_type in _CONTROL_FLOW or nested:
            kind = "control flow"
        elif node.op_type in _RANDOM or node.op_type.startswith("Random"):
            kind = "random numbers"
        operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        place = node.name or ", ".join(node.output)
        raise ModelImportError(
            f"{name}: the operator {operator} (node {place!r}) is not supported: {_ADVICE[kind]}"
        )


def prune(model: ModelProto, outputs: list[str]) -> ModelProto:
    """Return a copy with these outputs only, and the nodes and weights that they need."""
    needed = set(outputs)
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
            needed.update(_list_captured(node))
    pruned = ModelProto()
    pruned.CopyFrom(model)
    graph = pruned.graph
    for field, kept in (
        (graph.node, list(reversed(nodes))),
        (graph.initializer, [each for each in model.graph.initializer if each.name in needed]),
        (
            graph.output,
            [each for name in outputs for each in model.graph.output if each.name == name],
        ),
    ):
        del field[:]
        field.extend(kept)
    return pruned


def list_inputs(model: ModelProto) -> list[Any]:
    """Return the inputs that are not weights."""
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def read_shape(value: Any) -> Dimensions:  # noqa: ANN401 - as above
    """Return the declared shape of an input or output."""
    return tuple(
        dimension.dim_value if dimension.HasField("dim_value") and dimension.dim_value > 0 else None
        for dimension in value.type.tensor_type.shape.dim
    )


def count_weights(model: ModelProto) -> int:
    """Return the number of weights."""
    return sum(math.prod(weight.dims) for weight in model.graph.initializer)


def get_opset(model: ModelProto) -> int:
    """Return the version of the standard operators."""
    return max(
        (entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}),
        default=0,
    )


def _check_opset(name: str, model: ModelProto) -> None:
    if get_opset(model) < MIN_OPSET:
        raise ModelImportError(
            f"{name}: expected opset {MIN_OPSET} or later, got {get_opset(model)}; export it again "
            "with opset_version=17"
        )


def _list_captured(node: NodeProto) -> list[str]:
    """Return the names that nested graphs may use; `check_operators` rejects such nodes later."""
    graphs = [attribute.g for attribute in node.attribute if attribute.g.node]
    return [name for graph in graphs for inner in graph.node for name in inner.input]


def _round_integers(batch: Array, dtype: np.dtype[Any]) -> Array:
    return np.rint(batch).astype(dtype) if dtype.kind in "iu" else batch.astype(dtype)


def _line(error: Exception) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
