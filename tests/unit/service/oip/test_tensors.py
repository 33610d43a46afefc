"""Inference requests of the Open Inference Protocol give a batch, or one of our errors."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import GraphFile, NetworkSpec, TensorSpec
from service.errors import (
    InvalidInputError,
    LimitExceededError,
    MalformedInputError,
    RequestError,
)
from service.http.limits import Limits
from service.oip.tensors import Inference, encode_outputs, parse_inference

LIMITS = Limits(
    body_bytes=100_000, images=20, pixels=40_000, samples=300, json_bytes=50_000, json_values=10_000
)
SPEC = NetworkSpec(
    input=TensorSpec(name="images", shape=(1, 2, 3)),
    outputs=(TensorSpec(name="latents", shape=(4,)),),
    formats={"onnx": GraphFile(file="encoder.onnx", parity=0.0)},
)
FLOATS = st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6)


def write_binary(batch: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> tuple[bytes, str]:
    """Return a request with a binary tensor, and the length of its JSON part."""
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": batch.nbytes}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + batch.tobytes(), str(len(head))


def is_parsed_or_rejected(body: bytes, length: str | None) -> bool:
    """Return whether a body is parsed or rejected; any other error fails the test."""
    try:
        inference = parse_inference(body, length, SPEC, LIMITS)
    except RequestError as error:
        return bool(str(error))
    return inference.batch.shape[1:] == (1, 2, 3) and bool(np.isfinite(inference.batch).all())


@settings(deadline=None, max_examples=300)
@given(st.binary(), st.none() | st.text(max_size=8) | st.integers(-2, 300).map(str))
def test_random_bytes(body: bytes, length: str | None) -> None:
    """Random bytes with any header are parsed or rejected."""
    assert is_parsed_or_rejected(body, length)


@settings(deadline=None, max_examples=400)
@given(FLOATS, st.data())
def test_damaged_body(values: list[float], data: st.DataObject) -> None:
    """A valid request with changed, inserted or missing bytes is parsed or rejected."""
    valid, length = write_binary(np.array(values, "<f4").reshape(1, 1, 2, 3))
    body = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))

    assert is_parsed_or_rejected(bytes(body), length)


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=4))
def test_both_forms_give_the_same_batch(values: list[list[float]]) -> None:
    """Numbers in JSON and in binary form give the same batch, bit for bit."""
    batch = np.array(values, "<f4").reshape(-1, 1, 2, 3)
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32", "data": batch.tolist()}
    in_json = json.dumps({"inputs": [tensor]}).encode()

    batches = [
        parse_inference(body, length, SPEC, LIMITS).batch
        for body, length in ((in_json, None), write_binary(batch))
    ]

    assert [one.tobytes() for one in batches] == [batch.tobytes()] * 2


BATCH = np.zeros((1, 1, 2, 3), np.float32)
BODY, LENGTH = write_binary(BATCH)
TENSOR: dict[str, Any] = {
    "name": "images",
    "shape": [1, 1, 2, 3],
    "datatype": "FP32",
    "data": [0.0] * 6,
}


def parse(members: dict[str, Any], spec: NetworkSpec = SPEC) -> Inference:
    """Parse a request in JSON."""
    return parse_inference(json.dumps(members).encode(), None, spec, LIMITS)


@pytest.mark.parametrize(
    "length",
    [
        *("", "-1", "1.5", "+5", "abc", "\u0663"),
        *(str(len(BODY) + 1), "9" * 18, "9" * 30, "9" * 5000, "0" * 5000 + LENGTH),
    ],
    ids=lambda length: length[:20],
)
def test_invalid_header_length_is_malformed(length: str) -> None:
    """A length that is not decimal, or exceeds the body, is malformed; digits are bounded."""
    with pytest.raises(MalformedInputError, match="Inference-Header-Content-Length must be"):
        parse_inference(BODY, length, SPEC, LIMITS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"datatype": "FP64"},
        {"shape": [1, 6]},
        {"shape": [0, 1, 2, 3], "data": []},
        {"shape": []},
        {"shape": [-1, 1, 2, 3]},
        {"data": None},
        {"data": [0.0] * 5},
        {"data": [[0.0] * 6]},
        {"data": ["x"] * 6},
        {"data": [1e300] * 6},
        {"parameters": {"binary_data_size": 24}},
        {"parameters": {"shared_memory_region": "x"}},
    ],
    ids=str,
)
def test_tensor_that_does_not_fit_is_invalid(change: dict[str, Any]) -> None:
    """A tensor of another name, type, shape or size is invalid."""
    with pytest.raises(InvalidInputError):
        parse({"inputs": [TENSOR | change]})


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"inputs": []},
        {"inputs": [TENSOR, TENSOR]},
        {"inputs": [TENSOR], "outputs": [{"name": "other"}]},
        {"inputs": [TENSOR], "outputs": [{"name": "latents"}, {"name": "latents"}]},
        {
            "inputs": [TENSOR],
            "outputs": [{"name": "latents", "parameters": {"classification": 1}}],
        },
        {"inputs": [TENSOR], "id": "x" * 257},
    ],
    ids=lambda members: str(members)[-60:],
)
def test_request_that_does_not_fit_is_invalid(members: dict[str, Any]) -> None:
    """A request with other inputs or outputs than the network's is invalid."""
    with pytest.raises(InvalidInputError):
        parse(members)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (BODY + b"0000", LENGTH),
        (BODY[:-4], LENGTH),
        (json.dumps({"inputs": [TENSOR]}).encode() + b"0000", None),
        (
            json.dumps({"inputs": [TENSOR]}).encode() + b"0000",
            str(len(json.dumps({"inputs": [TENSOR]}))),
        ),
    ],
)
def test_inconsistent_binary_data_is_malformed(body: bytes, length: str | None) -> None:
    """Binary data that is too long, too short or belongs to no input is malformed."""
    with pytest.raises(MalformedInputError):
        parse_inference(body, length, SPEC, LIMITS)


def test_limits_apply_to_the_json_part() -> None:
    """The limits for JSON do not count binary data."""
    with pytest.raises(LimitExceededError, match="LATENTD_MAX_JSON_VALUES"):
        parse({"inputs": [TENSOR | {"data": [0] * 10_001}]})
    large = np.zeros((3000, 1, 2, 3), np.float32)
    body, length = write_binary(large)

    assert len(parse_inference(body, length, SPEC, LIMITS).batch) == 3000


def test_outputs_are_json_or_binary() -> None:
    """Each output has the requested form; by default the form of the request's parameter."""
    spec = SPEC.model_copy(
        update={
            "outputs": (
                TensorSpec(name="means", shape=(2,)),
                TensorSpec(name="log_variances", shape=(2,)),
            )
        }
    )
    arrays = {"means": np.ones((1, 2), np.float32), "log_variances": np.zeros((1, 2), np.float32)}
    requested = [
        {"name": "log_variances", "parameters": {"binary_data": True}},
        {"name": "means", "parameters": {"binary_data": False}},
    ]

    mixed = parse({"id": "mine", "inputs": [TENSOR], "outputs": requested}, spec)
    by_default = parse({"inputs": [TENSOR], "parameters": {"binary_data_output": True}}, spec)

    assert by_default.outputs == (("means", True), ("log_variances", True))
    content, length = encode_outputs(mixed, arrays, "full.vae_encoder", 2)
    assert content[length:] == bytes(8)
    assert json.loads(content[:length]) == {
        "model_name": "full.vae_encoder",
        "model_version": "2",
        "id": "mine",
        "outputs": [
            {
                "name": "log_variances",
                "datatype": "FP32",
                "shape": [1, 2],
                "parameters": {"binary_data_size": 8},
            },
            {"name": "means", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]},
        ],
    }


def test_json_response_has_no_length() -> None:
    """A response without binary outputs is plain JSON, for which the header is omitted."""
    content, length = encode_outputs(
        parse({"inputs": [TENSOR]}), {"latents": np.zeros((1, 4), np.float32)}, "full.encoder", 1
    )

    assert length is None
    assert "id" not in json.loads(content)
