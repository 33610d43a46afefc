"""Cutting a whole autoencoder at its code: the smallest tensor that all paths cross."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto
from onnx.shape_inference import infer_shapes
from onnx.utils import Extractor

from training.errors import ModelImportError
from training.importing.forms.formats import Array
from training.importing.graphs.batches import set_batch
from training.importing.graphs.onnx_graph import Graph, list_inputs, make_graph, prune


def cut_autoencoder(graph: Graph, inputs: Array) -> tuple[Graph, Graph]:
    """Return the encoder and the decoder of a graph from images to images.

    Args:
        graph: The whole graph.
        inputs: (N, ...) real images in its own form.

    Raises:
        ModelImportError: no output is an image, or no tensor smaller than an image carries it all,
            as in a U-Net with skip connections.
    """
    outputs = dict(zip(graph.outputs, graph.run(inputs), strict=True))
    size = inputs[0].size
    images = [name for name, tensor in outputs.items() if tensor[0].size == size]
    if not images:
        shapes = ", ".join(f"{name} {tensor.shape[1:]}" for name, tensor in outputs.items())
        raise ModelImportError(
            f"{graph.name}: expected an output with an image of {size} values, got {shapes}"
        )
    model = _fold(replace(graph, model=prune(graph.model, images[:1])))
    code = _find_code(model, size)
    if code is None:
        raise ModelImportError(
            f"{graph.name}: no tensor smaller than an image carries all of it, as with skip "
            "connections; export the encoder and the decoder, or use it with --denoiser only"
        )
    extractor = Extractor(infer_shapes(model))
    source = list_inputs(model)[0].name
    encoder = extractor.extract_model([source], [code])
    decoder = extractor.extract_model([code], [model.graph.output[0].name])
    return make_graph(graph.name, encoder), make_graph(graph.name, decoder)


def _fold(graph: Graph) -> ModelProto:
    """Return the graph for single images, with everything that only depends on shapes constant."""
    model = set_batch(graph.model, 1)
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise ModelImportError(
                f"{graph.name}: it cannot be cut at its code: {reason}"
            ) from error
        return onnx.load(options.optimized_model_filepath)


def _find_code(model: ModelProto, size: int) -> str | None:
    """Return the last of the smallest tensors that separate the input from the output."""
    sizes = _measure_tensors(model)
    constants = {weight.name for weight in model.graph.initializer}
    last_use: dict[str, int] = {}
    for index, node in enumerate(model.graph.node):
        last_use.update(dict.fromkeys(node.input, index))
    live = {list_inputs(model)[0].name}
    best: str | None = None
    for index, node in enumerate(model.graph.node[:-1]):
        live |= {name for name in node.output if name and last_use.get(name, -1) > index}
        live = {name for name in live if last_use.get(name, -1) > index and name not in constants}
        if len(live) != 1:
            continue
        (name,) = live
        if 0 < sizes.get(name, 0) <= sizes.get(best or "", size - 1):
            best = name
    return best


def _measure_tensors(model: ModelProto) -> dict[str, int]:
    """Return the number of values of each tensor for one image, if the first dimension is 1."""
    inferred: Any = infer_shapes(model).graph
    return {
        value.name: int(np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim]))
        for value in inferred.value_info
        if value.type.tensor_type.shape.dim and value.type.tensor_type.shape.dim[0].dim_value == 1
    }
