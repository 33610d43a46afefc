"""The batch dimension of a graph: made dynamic, or left at one image per run."""

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from training.errors import ModelImportError
from training.importing.forms.formats import Array
from training.importing.graphs.onnx_graph import Graph, list_inputs, make_graph

TOLERANCE = 1e-4
"""Difference between two runs of the same images, relative to the largest value."""
_PROBES = 3
_DIMENSION = "batch"


def make_dynamic(graph: Graph, probes: Array) -> Graph:
    """Return the graph with a dynamic batch dimension; unchanged if it takes single images only.

    Exporters without the right arguments write the example's batch size into the graph. If only
    declared shapes and the shapes of Reshape contain it, they are rewritten.

    Args:
        graph: The graph.
        probes: (N, ...) inputs in the network's own form, N at least its batch size.

    Raises:
        ModelImportError: the batch size is fixed and greater than 1, or the outputs for an image
            depend on the other images in its batch.
    """
    size = graph.batch or 1
    inputs = probes[: max(_PROBES, size) // size * size]
    separate = _run_separately(graph, inputs, size)
    if graph.batch is None and _is_close(_try_run(graph, inputs), separate):
        return graph
    for model in _list_candidates(graph.model, size):
        candidate = make_graph(graph.name, model)
        if _is_close(_try_run(candidate, inputs), separate):
            return candidate
    if size > 1:
        raise ModelImportError(
            f"{graph.name}: its batch size is fixed to {size}; export it with a dynamic batch, or "
            "with an example of one image"
        )
    fixed = make_graph(graph.name, set_batch(graph.model, 1))
    if graph.batch is None and _try_run(graph, inputs) is not None:
        raise ModelImportError(
            f"{graph.name}: its output for an image depends on the other images of the batch; "
            "export it in evaluation mode (model.eval())"
        )
    return fixed


def max_difference(first: Array, second: Array) -> float:
    """Return the largest difference, relative to the largest value if that is over 1.

    Values that are not finite are equal to each other; later checks report them.
    """
    if first.shape != second.shape:
        return float("inf")
    one, other = (
        np.nan_to_num(each.astype(np.float64), posinf=0, neginf=0) for each in (first, second)
    )
    scale = max(1.0, float(np.abs(other).max(initial=0)))
    return float(np.abs(one - other).max(initial=0)) / scale


def set_batch(model: ModelProto, size: int | None) -> ModelProto:
    """Return a copy with this batch size in its declared shapes; None for an open dimension."""
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    for value in (*list_inputs(changed), *changed.graph.output):
        if value.type.tensor_type.shape.dim:
            dimension = value.type.tensor_type.shape.dim[0]
            dimension.Clear()
            if size is None:
                dimension.dim_param = _DIMENSION
            else:
                dimension.dim_value = size
    return changed


def _run_separately(graph: Graph, inputs: Array, size: int) -> list[Array]:
    parts = [graph.run(inputs[start : start + size]) for start in range(0, len(inputs), size)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _try_run(graph: Graph, inputs: Array) -> list[Array] | None:
    try:
        return graph.run(inputs)
    except ModelImportError:
        return None


def _is_close(outputs: list[Array] | None, expected: list[Array]) -> bool:
    """Return whether outputs are equal, except random ones, which no run repeats."""
    if outputs is None:
        return False
    differences = [max_difference(one, other) for one, other in zip(outputs, expected, strict=True)]
    return min(differences) <= TOLERANCE


def _list_candidates(model: ModelProto, size: int) -> list[ModelProto]:
    """Return the graph with an open batch dimension, then also with open Reshape targets."""
    opened = set_batch(model, None)
    return [opened, _open_reshapes(opened, size)]


def _open_reshapes(model: ModelProto, size: int) -> ModelProto:
    """Replace the batch size at the front of constant Reshape targets by that of the input."""
    changed = ModelProto()
    changed.CopyFrom(model)
    targets = {node.input[1] for node in changed.graph.node if node.op_type == "Reshape"}
    constants = [
        (node.output[0], attribute.t)
        for node in changed.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TENSOR
    ]
    constants += [(weight.name, weight) for weight in changed.graph.initializer]
    for name, tensor in constants:
        target = numpy_helper.to_array(tensor) if name in targets else np.zeros(0)
        if target.ndim == 1 and len(target) and target[0] == size:
            opened = np.concatenate([[0], target[1:]]).astype(np.int64)  # 0 copies the dimension
            tensor.CopyFrom(numpy_helper.from_array(opened, tensor.name))
    return changed
