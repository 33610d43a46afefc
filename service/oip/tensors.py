"""The Open Inference Protocol's wire form: tensors in JSON, or as bytes after it.

The protocol is KServe's "predict v2", the bytes its binary tensor extension, as Triton speaks it:
little-endian, row-major, after a JSON part whose length stands in a header.
"""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifact import NetworkSpec, TensorSpec
from service.artifact.tensor_files import Floats
from service.codecs.image_batches import read_numbers
from service.codecs.request_body import read_members
from service.errors import InvalidInputError, MalformedInputError, Violation
from service.http.limits import Limits
from service.http.problems import to_violations

LENGTH_HEADER = "Inference-Header-Content-Length"
DATATYPE = "FP32"
MAX_TENSORS = 16

Name = Annotated[str, Field(max_length=256)]
Dimension = Annotated[int, Field(ge=0, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)  # members of extensions that are not spoken are ignored


class InferInput(_Part):
    """An input tensor of a request; its numbers are in `data`, or among the bytes."""

    name: Name
    shape: Annotated[list[Dimension], Field(max_length=8)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferOutput(_Part):
    """An output that is asked for."""

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
    """A request that was understood: the batch, and which outputs to give how."""

    id: str | None
    batch: Floats
    """(N, *input shape)."""
    outputs: tuple[tuple[str, bool], ...]
    """Name of each wanted output, and whether as bytes."""


def read_inference(
    body: bytes, header_length: str | None, spec: NetworkSpec, limits: Limits
) -> Inference:
    """Read an inference request for a network.

    Args:
        body: JSON, followed by tensors as bytes where `header_length` says so.
        header_length: The header `Inference-Header-Content-Length`; None where there is none.
        spec: The network.
        limits: What one request may hold.

    Raises:
        LimitExceededError: the JSON is too long, or has too many values.
        MalformedInputError: the JSON or the lengths are broken.
        InvalidInputError: names, shapes, types or numbers that are not the network's.
    """
    split = _read_length(header_length, len(body))
    try:
        request = InferRequest.model_validate(read_members(body[:split], limits))
    except ValidationError as error:
        violations = to_violations(error.errors())
        raise InvalidInputError(*violations) from error
    if len(request.inputs) != 1 or request.inputs[0].name != spec.input.name:
        raise InvalidInputError(
            Violation("/inputs", f"exactly one input {spec.input.name!r} is wanted")
        )
    batch = _read_tensor(request.inputs[0], body[split:], spec.input)
    return Inference(request.id, batch, _choose_outputs(request, spec))


def _read_length(header: str | None, most: int) -> int:
    if header is None:
        return most
    if not (header.isascii() and header.isdecimal()) or int(header) > most:
        raise MalformedInputError(f"{LENGTH_HEADER} must be a length within the body")
    return int(header)


def _read_tensor(tensor: InferInput, rest: bytes, spec: TensorSpec) -> Floats:
    shape = tuple(tensor.shape)
    wanted = f"{DATATYPE} of N x {' x '.join(str(size) for size in spec.shape)}"
    if tensor.datatype != DATATYPE or shape[1:] != spec.shape or not shape[0]:
        raise InvalidInputError(
            Violation("/inputs/0", f"{wanted} is wanted, got {tensor.datatype} of {list(shape)}")
        )
    if any(name.startswith("shared_memory") for name in tensor.parameters):
        raise InvalidInputError(Violation("/inputs/0/parameters", "shared memory is not offered"))
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise InvalidInputError(
            Violation("/inputs/0", "either 'data' or 'binary_data_size' is wanted")
        )
    if size is None:
        return _read_data(tensor.data, shape, len(rest))
    if type(size) is not int or size != prod(shape) * 4 or size != len(rest):
        raise MalformedInputError("binary_data_size, the shape and the bytes sent disagree")
    return _check(np.frombuffer(rest, dtype="<f4").reshape(shape))


def _read_data(data: object, shape: tuple[int, ...], rest: int) -> Floats:
    if rest:
        raise MalformedInputError("there are bytes after the JSON that no input claims")
    numbers = read_numbers(data, "/inputs/0/data")
    if numbers.size != prod(shape) or numbers.shape not in {shape, (numbers.size,)}:
        raise InvalidInputError(Violation("/inputs/0/data", "the data do not fill the shape"))
    with np.errstate(over="ignore"):
        return _check(numbers.reshape(shape).astype(np.float32))


def _check(batch: Floats) -> Floats:
    if not np.isfinite(batch).all():
        raise InvalidInputError(Violation("/inputs/0/data", "numbers must be finite float32"))
    return np.ascontiguousarray(batch, dtype=np.float32)


def _choose_outputs(request: InferRequest, spec: NetworkSpec) -> tuple[tuple[str, bool], ...]:
    by_default = request.parameters.get("binary_data_output") is True
    known = [output.name for output in spec.outputs]
    if not request.outputs:
        return tuple((name, by_default) for name in known)
    names = [output.name for output in request.outputs]
    if len(set(names)) != len(names) or not set(names) <= set(known):
        raise InvalidInputError(
            Violation("/outputs", f"outputs must be some of {', '.join(known)}")
        )
    for output in request.outputs:
        refused = {name for name in output.parameters if name != "binary_data"}
        if refused:
            raise InvalidInputError(
                Violation("/outputs", f"the parameter {min(refused)!r:.80} is not offered")
            )
    return tuple(
        (output.name, output.parameters.get("binary_data", by_default) is True)
        for output in request.outputs
    )


def write_inference(
    inference: Inference, arrays: dict[str, Floats], model: str, version: int
) -> tuple[bytes, int | None]:
    """Return the body of an inference answer, and the length of its JSON part if bytes follow.

    Args:
        inference: The request.
        arrays: Every output of the network by name, (N, *shape) float32.
        model: The name to answer with.
        version: The version that answered.
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
            output["data"] = array.ravel()
        outputs.append(output)
    answer: dict[str, object] = {"model_name": model, "model_version": str(version)}
    if inference.id is not None:
        answer["id"] = inference.id
    answer["outputs"] = outputs
    header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([header, *blobs]), len(header) if blobs else None
