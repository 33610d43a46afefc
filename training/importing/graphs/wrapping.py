"""Wrapping of graphs: the nodes that turn a network into one of the contract.

In: float32 NCHW in [0, 1], or latents (N, L). Out: the same, or probabilities, under the names of
the contract. The network's own nodes stay as they are, with the prefix `network/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

from training.importing.forms.formats import Array, Layout, PixelScale
from training.importing.graphs.onnx_graph import Graph, check_operators, list_inputs, prune

_PREFIX = "network/"


@dataclass
class Wrapper:
    """A graph under construction: nodes before and after those of a network."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX attributes vary
        """Append a node, and return the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, value: Array) -> str:
        """Add a constant, and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """Append a reshape to (N, *shape)."""
        return self.add("Reshape", name, self.constant(np.array([-1, *shape], np.int64)))

    def cast(self, name: str, dtype: int) -> str:
        """Append a conversion to an ONNX data type."""
        return self.add("Cast", name, to=dtype)

    def compute(self, operator: str, name: str, value: float | Array) -> str:
        """Append an operator on a tensor and a float32 constant."""
        return self.add(operator, name, self.constant(np.asarray(value, np.float32)))

    def images_in(self, name: str, layout: Layout, scale: PixelScale) -> str:
        """Append the conversion of images into the network's form."""
        if not scale.is_identity:
            name = self.compute("Sub", name, _channels(scale.mean))
            name = self.compute("Div", name, _channels(scale.deviation))
        if layout.is_channels_last:
            name = self.add("Transpose", name, perm=[0, 2, 3, 1])
        return name if layout.order in {"nchw", "nhwc"} else self.reshape(name, layout.shape)

    def images_out(self, name: str, layout: Layout, scale: PixelScale) -> str:
        """Append the conversion of the network's images into pixels in [0, 1]."""
        channels, height, width = layout.image
        if layout.is_channels_last:
            name = self.reshape(name, (height, width, channels))
            name = self.add("Transpose", name, perm=[0, 3, 1, 2])
        name = self.reshape(name, layout.image)
        if not scale.is_identity:
            name = self.compute("Mul", name, _channels(scale.deviation))
            name = self.compute("Add", name, _channels(scale.mean))
        return self.compute("Min", self.compute("Max", name, 0.0), 1.0)

    def network(self, graph: Graph, name: str, outputs: Sequence[str]) -> list[str]:
        """Append a network, with casts from and to float32; return the names of its outputs."""
        inner = compose.add_prefix(prune(graph.model, list(dict.fromkeys(outputs))), _PREFIX)
        check_operators(graph.name, prune(graph.model, list(dict.fromkeys(outputs))))
        value = list_inputs(inner)[0]
        dtype = value.type.tensor_type.elem_type
        if np.issubdtype(graph.dtype, np.integer):
            name = self.compute("Add", name, 0.5)  # Cast truncates
        source = name if dtype == TensorProto.FLOAT else self.cast(name, dtype)
        self.nodes.append(helper.make_node("Identity", [source], [value.name], "network_input"))
        self.nodes += inner.graph.node
        self.constants += inner.graph.initializer
        return [self.cast(_PREFIX + output, TensorProto.FLOAT) for output in outputs]

    def finish(
        self,
        graph: Graph,
        source: tuple[str, Sequence[int]],
        outputs: dict[str, tuple[str, Sequence[int]]],
    ) -> ModelProto:
        """Return the model.

        Args:
            graph: The network inside, for its versions and its batch size.
            source: Name and shape, without the batch, of the input.
            outputs: For each output's name the tensor and its shape.
        """
        batch = graph.batch or "batch"
        for name, (tensor, shape) in outputs.items():
            fixed = self.reshape(tensor, shape)
            self.nodes.append(helper.make_node("Identity", [fixed], [name], name))
        made = helper.make_graph(
            self.nodes,
            "imported",
            [helper.make_tensor_value_info(source[0], TensorProto.FLOAT, [batch, *source[1]])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])
                for name, (_, shape) in outputs.items()
            ],
            self.constants,
        )
        model = helper.make_model(made, ir_version=graph.model.ir_version)
        del model.opset_import[:]
        model.opset_import.extend(graph.model.opset_import)
        _strip(model)
        return model


def _channels(values: tuple[float, ...]) -> Array:
    return np.array(values, np.float32).reshape(-1, 1, 1)


def _strip(model: ModelProto) -> None:
    """Remove the exporter's notes, which contain paths of the machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
