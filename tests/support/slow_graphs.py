"""A small ONNX graph whose run takes a minute."""

from onnx import TensorProto, helper

from service.artifact import GraphFile, NetworkSpec, TensorSpec

SPEC = NetworkSpec(
    input=TensorSpec(name="images", shape=(1,)),
    outputs=(TensorSpec(name="sums", shape=(1,)),),
    formats={"onnx": GraphFile(file="slow.onnx", parity=0.0)},
)
_SIDE, _PRODUCTS = 512, 5_000


def make_slow_graph() -> bytes:
    """Return a graph of 5,000 products of matrices of 512 x 512, about 10 ms each."""
    side = helper.make_tensor("side", TensorProto.INT64, [2], [_SIDE, _SIDE])
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "side"], ["m0"]),  # depends on the input: not constant
        *(
            helper.make_node("MatMul", [f"m{number}", "m0"], [f"m{number + 1}"])
            for number in range(_PRODUCTS)
        ),
        helper.make_node("ReduceSum", [f"m{_PRODUCTS}"], ["total"], keepdims=0),
        helper.make_node("Mul", ["images", "total"], ["sums"]),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["n", 1])],
        [side],
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
