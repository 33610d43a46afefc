"""Validation of ONNX graphs before they are published, and before ONNX Runtime loads them.

A graph can name files with weights (external data), operators of other libraries and nested
graphs; these are rejected. The validation parses the protocol buffers wire format itself, because
serving does not depend on the `onnx` package. Unknown content is rejected.
"""

from collections.abc import Iterator
from itertools import islice

from service.errors import ArtifactError

MAX_FIELDS = 200_000
"""Limit of fields in a graph, without the numbers of tensors; shipped graphs have up to 600."""

# Operators that compute numbers from numbers: no nested graphs, loops, random numbers or strings.
_OPERATORS = """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitShift Cast CastLike Ceil Celu
    CenterCropPad Clip Col2Im Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos
    Cosh CumSum DeformConv DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum
    Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul
    MatMulInteger Max MaxPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not
    OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round ScatterElements
    ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Upsample Where Xor
"""
# Operators of ai.onnx.ml, with which skl2onnx writes scalers and linear models.
_ML_OPERATORS = "ArrayFeatureExtractor Binarizer LinearClassifier LinearRegressor Normalizer Scaler"
OPERATORS = frozenset(_OPERATORS.split()) | frozenset(_ML_OPERATORS.split())
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

# Field numbers of onnx.proto: the nested messages of each message, and the rejected fields.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_REJECTED: dict[tuple[str, int], str] = {
    ("model", 20): "training steps",
    ("model", 25): "local functions",
    ("attribute", 6): "a nested graph",
    ("attribute", 11): "nested graphs",
    ("tensor", 13): "external data",
    ("tensor", 14): "external data",
}
_TEXTS: dict[tuple[str, int], tuple[str, frozenset[str]]] = {
    ("node", 4): ("operator", OPERATORS),
    ("node", 7): ("operator domain", DOMAINS),
}
_NODE_NAME = ("node", 3)
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MAX_SHIFT = 63
_MAX_TAG = 2**32


def validate_graph(content: bytes) -> None:
    """Check that an ONNX graph is complete, self-contained and uses known operators only.

    Raises:
        ArtifactError: it is not; the text names the rejected content.
    """
    count = sum(1 for _ in islice(_walk(memoryview(content), "model"), MAX_FIELDS + 1))
    if count > MAX_FIELDS:
        raise ArtifactError(f"the graph has more than {MAX_FIELDS} fields")


def _walk(content: memoryview, message: str) -> Iterator[None]:
    """Check a message and its nested messages; yield once per field. `_NESTED` bounds the depth."""
    offset = 0
    name = memoryview(b"")
    while offset < len(content):
        yield
        number, value, offset = _read_field(content, offset)
        if (message, number) == _NODE_NAME:  # precedes the operator in canonical order
            name = _as_bytes(value)
        rejected = _REJECTED.get((message, number))
        if rejected is not None and value != 0:  # data_location 0, the default, is inside the file
            raise ArtifactError(f"the graph has {rejected}, which is not allowed")
        allowed = _TEXTS.get((message, number))
        if allowed is not None:
            _check_text(_as_bytes(value), *allowed, name)
        nested = _NESTED[message].get(number)
        if nested is not None:
            yield from _walk(_as_bytes(value), nested)


def _check_text(value: memoryview, label: str, allowed: frozenset[str], node: memoryview) -> None:
    text = bytes(value[:64]).decode(errors="replace")
    if text not in allowed or len(value) > len(text):
        place = f" (node {bytes(node[:64]).decode(errors='replace')!r})" if node else ""
        raise ArtifactError(f"the graph has the {label} {text!r}{place}, which is not allowed")


def _as_bytes(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ArtifactError("the graph is not a valid ONNX file")
    return value


def _read_field(content: memoryview, offset: int) -> tuple[int, memoryview | int, int]:
    """Return the number of a field, its bytes or varint, and the offset of the next field."""
    tag, offset = _read_varint(content, offset)
    number, kind = tag >> 3, tag & 7
    if number == 0 or tag >= _MAX_TAG:
        raise ArtifactError("the graph is not a valid ONNX file")
    if kind == _VARINT:
        value, offset = _read_varint(content, offset)
        return number, value, offset
    if kind == _LENGTH:
        length, offset = _read_varint(content, offset)
    elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
        length = 8 if kind == _EIGHT_BYTES else 4
    else:  # groups, which ONNX does not use
        raise ArtifactError("the graph is not a valid ONNX file")
    end = offset + length
    if end > len(content):
        raise ArtifactError("the graph is truncated")
    return number, content[offset:end], end


def _read_varint(content: memoryview, offset: int) -> tuple[int, int]:
    """Return a varint of up to ten bytes, seven bits each, and the offset of its end."""
    value = shift = 0
    while True:
        if offset >= len(content) or shift > _MAX_SHIFT:
            raise ArtifactError("the graph is truncated")
        byte = content[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, offset
