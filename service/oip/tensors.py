"""Inference requests and responses of the Open Inference Protocol, KServe's "predict v2".

Tensors are JSON numbers, or binary (Triton's binary tensor extension): little-endian and row-major,
after a JSON part whose length is in a header.
"""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.artifact import NetworkSpec, TensorSpec
from service.artifact.tensor_files import Floats
from service.codecs.image_batches import read_numbers
from service.codecs.json_objects import parse_json_object
from service.codecs.request_body import JSON_WEIGHT
from service.codecs.responses import to_json_parts
from service.errors import InvalidInputError, MalformedInputError, Violation
from service.http.limits import Limits
from service.http.problems import to_violations
from service.http.request_context import parse_length

LENGTH_HEADER = "Inference-Header-Content-Length"
DATATYPE = "FP32"
MAX_TENSORS = 16

Name = Annotated[str, Field(max_length=256)]
Dimension = Annotated[int, Field(ge=0, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)  # members of unsupported extensions are ignored

    @model_validator(mode="before")
    @classmethod
    def _omit_nulls(cls, members: object) -> object:
        """Omit members that are null, as MLServer's client writes all optional ones."""
        if not isinstance(members, dict):
            return members
        return {name: value for name, value in members.items() if value is not None}


class InferInput(_Part):
    """An input tensor; its numbers are in `data` or in binary form after the JSON part."""

    name: Name
    shape: Annotated[list[Dimension], Field(max_length=8)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferOutput(_Part):
    """A requested output."""

    name: Name
    parameters: dict[str, Any] = {}


class InferRequest(_Part):
    """The JSON part of an inference request."""

    id: Annotated[str | None, Field(max_length=256)] = None
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[InferOutput], Field(max_length=MAX_TENSORS)] = []


@dataclass(frozen=True, slots=True)
class Inference:
    """A parsed request."""

    id: str | None
    batch: Floats
    """(N, *input shape)."""
    outputs: tuple[tuple[str, bool], ...]
    """Name of each requested output, and whether it is binary."""


def parse_inference(
    body: bytes, json_length: str | None, spec: NetworkSpec, limits: Limits
) -> Inference:
    """Parse an inference request.

    Args:
        body: JSON, followed by binary tensors if `json_length` is given.
        json_length: The header `Inference-Header-Content-Length`; None without one.
        spec: The network.
        limits: The bounds on one request.

    Raises:
        LimitExceededError: the JSON is too long, or has too many values.
        MalformedInputError: invalid JSON or inconsistent lengths.
        InvalidInputError: names, shapes, types or numbers do not match the network.
    """
    split = find_json_length(json_length, len(body))
    try:
        with limits.decoding.hold_json(split * JSON_WEIGHT):
            request = InferRequest.model_validate(parse_json_object(body[:split], limits))
    except ValidationError as error:
        violations = to_violations(error.errors(), depth=None)
        raise InvalidInputError(*violations) from error
    if len(request.inputs) != 1 or request.inputs[0].name != spec.input.name:
        raise InvalidInputError(
            Violation("/inputs", f"Expected exactly one input, {spec.input.name!r}.")
        )
    batch = _read_tensor(request.inputs[0], body[split:], spec.input)
    return Inference(request.id, batch, _choose_outputs(request, spec))


def find_json_length(header: str | None, size: int) -> int:
    """Return the length of the JSON part of a body of `size` bytes.

    Raises:
        MalformedInputError: the header is not a number, or exceeds the size.
    """
    if header is None:
        return size
    length = parse_length(header)
    if length is None or length > size:
        raise MalformedInputError(
            f"{LENGTH_HEADER} must be at most the length of the body, {size}, got {header!r:.40}."
        )
    return length


def _read_tensor(tensor: InferInput, rest: bytes, spec: TensorSpec) -> Floats:
    shape = tuple(tensor.shape)
    expected = f"{DATATYPE} of shape (N, {', '.join(str(size) for size in spec.shape)})"
    if tensor.datatype != DATATYPE or shape[1:] != spec.shape or not shape[0]:
        raise InvalidInputError(
            Violation("/inputs/0", f"Expected {expected}, got {tensor.datatype:.40} of {shape}.")
        )
    if any(name.startswith("shared_memory") for name in tensor.parameters):
        raise InvalidInputError(
            Violation("/inputs/0/parameters", "Shared memory is not supported.")
        )
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise InvalidInputError(
            Violation("/inputs/0", "Expected either 'data' or 'binary_data_size'.")
        )
    if size is None:
        return _read_data(tensor.data, shape, len(rest))
    if type(size) is not int or size != prod(shape) * 4 or size != len(rest):
        raise MalformedInputError(
            "binary_data_size, the shape and the binary data are inconsistent."
        )
    return _check(np.frombuffer(rest, dtype="<f4").reshape(shape))


def _read_data(data: object, shape: tuple[int, ...], rest: int) -> Floats:
    if rest:
        raise MalformedInputError("The body has binary data that belongs to no input.")
    numbers = read_numbers(data, "/inputs/0/data")
    if numbers.size != prod(shape) or numbers.shape not in {shape, (numbers.size,)}:
        raise InvalidInputError(
            Violation("/inputs/0/data", "The number of values does not match the shape.")
        )
    with np.errstate(over="ignore"):
        return _check(numbers.reshape(shape).astype(np.float32))


def _check(batch: Floats) -> Floats:
    if not np.isfinite(batch).all():
        raise InvalidInputError(Violation("/inputs/0/data", "Expected finite float32 numbers."))
    return np.ascontiguousarray(batch, dtype=np.float32)


def _choose_outputs(request: InferRequest, spec: NetworkSpec) -> tuple[tuple[str, bool], ...]:
    by_default = request.parameters.get("binary_data_output") is True
    known = [output.name for output in spec.outputs]
    if not request.outputs:
        return tuple((name, by_default) for name in known)
    names = [output.name for output in request.outputs]
    if len(set(names)) != len(names) or not set(names) <= set(known):
        raise InvalidInputError(
            Violation("/outputs", f"Expected distinct outputs of {', '.join(known)}.")
        )
    for output in request.outputs:
        unsupported = {name for name in output.parameters if name != "binary_data"}
        if unsupported:
            raise InvalidInputError(
                Violation("/outputs", f"Unsupported parameter {min(unsupported)!r:.80}.")
            )
    return tuple(
        (output.name, output.parameters.get("binary_data", by_default) is True)
        for output in request.outputs
    )


def encode_outputs(
    inference: Inference, arrays: dict[str, Floats], model: str, version: int
) -> tuple[bytes, int | None]:
    """Return the body of a response, and the length of its JSON part if binary data follows.

    `arrays` has every output of the network by name, (N, *shape) float32.
    """
    outputs: list[dict[str, object]] = []
    blobs: list[bytes] = []
    for name, binary in inference.outputs:
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        output: dict[str, object] = {"name": name, "datatype": DATATYPE, "shape": array.shape}
        if binary:
            blobs.append(array.tobytes())
            output["parameters"] = {"binary_data_size": array.nbytes}
        else:
            output["data"] = to_json_parts(array.ravel())
        outputs.append(output)
    response: dict[str, object] = {"model_name": model, "model_version": str(version)}
    if inference.id is not None:
        response["id"] = inference.id
    response["outputs"] = outputs
    header = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([header, *blobs]), len(header) if blobs else None
