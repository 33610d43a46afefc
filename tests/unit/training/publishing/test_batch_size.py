"""The largest batch of a network follows from the memory of its activations."""

import onnx
import pytest
from onnx import TensorProto, helper

from training.publishing.batch_size import choose_max_batch, measure_activations

MIB = 1024 * 1024


def make_model(side: int) -> onnx.ModelProto:
    """Return a graph that upsamples images of one channel to `side` x `side`."""
    weights = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, side, side])
    graph = helper.make_graph(
        [
            helper.make_node("Resize", ["x", "", "scales"], ["large"]),
            helper.make_node("GlobalAveragePool", ["large"], ["y"]),
        ],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, 1, 1])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(("side", "batch"), [(64, None), (1024, 63), (16384, 1)])
def test_batch_shrinks_with_the_largest_layer(side: int, batch: int | None) -> None:
    """Activations of one run stay below 256 MiB, and a single image always runs."""
    model = make_model(side)

    assert measure_activations(model) == 4 * (side * side + 1)
    assert choose_max_batch(model) == batch
