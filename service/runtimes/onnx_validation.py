"""ONNX graphs are looked through before onnxruntime sees them.

A graph may name files to read weights from (external data), operators of a foreign library, and
graphs within graphs; none of that is served. The wire form of protocol buffers is walked here
without the `onnx` package, which serving does not need. What is not understood is refused.
"""

from collections.abc import Iterator
from itertools import islice

from service.errors import ArtifactError

MAX_FIELDS = 200_000
"""Fields in a whole graph, its numbers not counted: ten thousand times those of a small one."""

# Operators that compute numbers from numbers: nothing that holds a graph, runs a loop, draws at
# random, or reads strings.
_OPERATORS = """
    Abs Add ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant
    ConstantOfShape Conv ConvTranspose DepthToSpace Div Dropout Elu Equal Erf Exp Expand Flatten
    Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GroupNormalization HardSigmoid
    HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less Log LogSoftmax
    MatMul Max MaxPool Mean Min Mish Mul Neg Not PRelu Pad Pow Range Reciprocal ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round Selu Shape Sigmoid Sign
    Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile Transpose
    Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS.split())
_DOMAINS = frozenset({"", "ai.onnx"})

# Field numbers of onnx.proto: the messages within each message, and what none may hold.
_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_REFUSED: dict[tuple[str, int], str] = {
    ("model", 20): "training steps",
    ("model", 25): "functions of its own",
    ("attribute", 6): "a graph within a graph",
    ("attribute", 11): "graphs within a graph",
    ("tensor", 13): "external data",
    ("tensor", 14): "external data",
}
_TEXTS: dict[tuple[str, int], tuple[str, frozenset[str]]] = {
    ("node", 4): ("the operator", OPERATORS),
    ("node", 7): ("operators of", _DOMAINS),
}
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MOST_SHIFT = 63
_MOST_TAG = 2**32


def validate_graph(content: bytes) -> None:
    """Check that an ONNX graph is whole, keeps to itself and uses known operators only.

    Raises:
        ArtifactError: it does not; the text names what it holds.
    """
    count = sum(1 for _ in islice(_walk(memoryview(content), "model"), MAX_FIELDS + 1))
    if count > MAX_FIELDS:
        raise ArtifactError(f"the graph has more than {MAX_FIELDS} parts")


def _walk(content: memoryview, message: str) -> Iterator[None]:
    """Check a message and those within, yielding once a field; no deeper than `_WITHIN` leads."""
    place = 0
    while place < len(content):
        yield
        number, value, place = _read_field(content, place)
        refused = _REFUSED.get((message, number))
        if refused is not None and value != 0:  # data_location may say 0, the default: inside
            raise ArtifactError(f"the graph has {refused}, which is not served")
        wanted = _TEXTS.get((message, number))
        if wanted is not None:
            _check_text(_as_bytes(value), *wanted)
        within = _WITHIN[message].get(number)
        if within is not None:
            yield from _walk(_as_bytes(value), within)


def _check_text(value: memoryview, what: str, known: frozenset[str]) -> None:
    text = bytes(value[:64]).decode(errors="replace")
    if text not in known or len(value) > len(text):
        raise ArtifactError(f"the graph has {what} {text!r}, which is not served")


def _as_bytes(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ArtifactError("the graph is no valid ONNX file")
    return value


def _read_field(content: memoryview, place: int) -> tuple[int, memoryview | int, int]:
    """Return a field's number, its bytes or its varint, and where the next one begins."""
    tag, place = _read_varint(content, place)
    number, kind = tag >> 3, tag & 7
    if number == 0 or tag >= _MOST_TAG:
        raise ArtifactError("the graph is no valid ONNX file")
    if kind == _VARINT:
        value, place = _read_varint(content, place)
        return number, value, place
    if kind == _LENGTH:
        length, place = _read_varint(content, place)
    elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
        length = 8 if kind == _EIGHT_BYTES else 4
    else:  # groups, which ONNX has none of
        raise ArtifactError("the graph is no valid ONNX file")
    end = place + length
    if end > len(content):
        raise ArtifactError("the graph is cut short")
    return number, content[place:end], end


def _read_varint(content: memoryview, place: int) -> tuple[int, int]:
    """Return a number of up to ten bytes, seven bits each, and where it ends."""
    value = shift = 0
    while True:
        if place >= len(content) or shift > _MOST_SHIFT:
            raise ArtifactError("the graph is cut short")
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return value, place
