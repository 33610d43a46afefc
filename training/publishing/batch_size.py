"""The largest batch of a network, from the memory of its activations."""

from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.shape_inference import infer_shapes

DEFAULT = 256
"""The service's largest batch without `max_batch`."""
_MAX_BYTES = 256 * 1024 * 1024
"""Activations of one layer in one run; concurrent requests multiply them."""
_FLOAT_BYTES = 4


def choose_max_batch(model: ModelProto) -> int | None:
    """Return the largest batch whose activations fit; None if the service's default does."""
    needed = measure_activations(model)
    fitting = max(1, _MAX_BYTES // max(needed, 1))
    return None if fitting >= DEFAULT else fitting


def measure_activations(model: ModelProto) -> int:
    """Return the bytes of the largest layer's inputs and outputs for one image.

    Tensors whose shape cannot be inferred do not count.
    """
    single = ModelProto()
    single.CopyFrom(model)
    for value in (*single.graph.input, *single.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = infer_shapes(single).graph
    weights = {weight.name for weight in inferred.initializer}
    sizes = {
        value.name: _count(value)
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    layers = ({*node.input, *node.output} - weights for node in inferred.node)
    totals = (sum(sizes.get(name, 0) for name in layer) for layer in layers)
    return _FLOAT_BYTES * max(totals, default=0)


def _count(value: Any) -> int:  # noqa: ANN401 - the generated classes of onnx are untyped
    return int(np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim], dtype=np.int64))
